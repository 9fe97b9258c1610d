//! Do 95 % intervals hold the truth 95 times in 100?

use fit::{Estimate, Form, RunPoint, Settings, Trial, frontier_law, optimal_lr, power, saturating};

use crate::{Noise, points};

const DATA_SETS: u64 = 300;

fn holds(estimate: Estimate, truth: f64) -> usize {
    usize::from(estimate.low <= truth && truth <= estimate.high)
}

/// Counts, over planted data sets, how often each named interval holds the truth.
fn check(
    name: &str,
    bounds: std::ops::RangeInclusive<f64>,
    trial: impl Fn(u64) -> Option<Vec<(&'static str, Estimate, f64)>>,
) {
    let mut hits: std::collections::BTreeMap<&str, usize> = Default::default();
    let mut fitted = 0;
    for seed in 1..=DATA_SETS {
        let Some(intervals) = trial(seed) else {
            continue;
        };
        fitted += 1;
        for (what, estimate, truth) in intervals {
            *hits.entry(what).or_default() += holds(estimate, truth);
        }
    }
    for (what, hits) in hits {
        let rate = hits as f64 / fitted as f64;
        println!("{name}: {what} covered {rate:.3} of {fitted} (seeds 1 to {DATA_SETS})");
        assert!(bounds.contains(&rate), "{name}: {what} covered {rate:.3}");
    }
    assert!(fitted * 10 >= DATA_SETS * 9, "{name}: only {fitted} of {DATA_SETS} were fitted");
}

#[test]
fn of_a_power_law() {
    for n in [4, 8, 16] {
        check(&format!("power, {n} points"), 0.90..=0.99, |seed| {
            let mut noise = Noise::new(seed);
            let data = points((0..n).map(|i| {
                let x = 100.0 * 1e3f64.powf(f64::from(i) / f64::from(n - 1));
                (x, 5.0 * x.powf(-0.1) * (0.02 * noise.normal()).exp())
            }));
            let fit = power(&data, &Settings { seed, resamples: 500 }).ok()?;
            Some(vec![
                ("alpha", fit.params["alpha"], 0.1),
                ("A", fit.params["A"], 5.0),
                ("prediction", fit.predict(1e6), 5.0 * 1e6f64.powf(-0.1)),
            ])
        });
    }
}

#[test]
fn of_a_saturating_law() {
    for (n, sd) in [(6, 0.002), (8, 0.005), (16, 0.005), (16, 0.01)] {
        check(&format!("saturating, {n} points, noise {sd}"), 0.90..=0.99, |seed| {
            let mut noise = Noise::new(seed);
            let law = |x: f64| 1.5 + 20.0 * x.powf(-0.4);
            let data = points((0..n).map(|i| {
                let x = 100.0 * 1e3f64.powf(f64::from(i) / f64::from(n - 1));
                (x, law(x) * (sd * noise.normal()).exp())
            }));
            let fit = saturating(&data, &Settings { seed, resamples: 500 }).ok()?;
            Some(vec![
                ("alpha", fit.params["alpha"], 0.4),
                ("A", fit.params["A"], 20.0),
                ("E", fit.params["E"], 1.5),
                ("prediction", fit.predict(1e6), law(1e6)),
            ])
        });
    }
}

#[test]
fn of_a_frontier() {
    // Three models, six budgets each; the large ones are better where compute is large. Each model's curve touches the
    // planted frontier at its own compute.
    check("frontier", 0.90..=1.0, |seed| {
        let mut noise = Noise::new(seed);
        let mut runs = Vec::new();
        for (model, centre) in [1e3f64, 1e4, 1e5].into_iter().enumerate() {
            for step in -3..=3 {
                let compute = centre * 2f64.powi(step);
                let excess = 0.002 * (compute / centre).ln().powi(2);
                runs.push(RunPoint {
                    row: runs.len(),
                    group: format!("model {model}"),
                    budget: Some(2f64.powi(step)),
                    compute,
                    loss: Some(4.0 * compute.powf(-0.05) * (excess + 0.003 * noise.normal()).exp()),
                    lr: None,
                    seed: None,
                });
            }
        }
        let (_, fit) = frontier_law(&runs, Form::Power, &Settings { seed, resamples: 500 }).ok()?;
        Some(vec![("alpha", fit.params["alpha"], 0.05)])
    });
}

#[test]
fn of_an_optimal_learning_rate() {
    check("optimal learning rate", 0.90..=0.99, |seed| {
        let mut noise = Noise::new(seed);
        let truth = 0.7f64;
        let trials: Vec<Trial> = [0.2, 0.4, 0.8, 1.6, 3.2]
            .iter()
            .enumerate()
            .map(|(row, &lr)| {
                let loss = 2.5 * (1.0 + 0.02 * (lr / truth).log2().powi(2)) * (0.001 * noise.normal()).exp();
                Trial { row, lr, loss: Some(loss) }
            })
            .collect();
        let fit::Optimum::Inside { lr, .. } = optimal_lr(&trials, Some(0.001)).ok()? else {
            return None;
        };
        Some(vec![("lr", lr, truth)])
    });
}
