//! Laws of size and samples from a file of any trainer, predictions, and the next runs: as a person would ask for them.

use crate::support::{Lab, shipped};

/// Five sizes at six budgets, L = 1.2 + 40 N^-.3 + 90 D^-.3 with a ripple in place of noise, each of the runs with its compute.
fn surface() -> String {
    let mut csv = "model,params,samples,epochs,compute,loss\n".to_owned();
    for i in 0..5 {
        for j in 0..6 {
            let (n, epochs) = (1e6 * 4f64.powi(i), 0.25 * 2f64.powi(j));
            let d = 1e8 * epochs;
            let ripple = 1.0 + 1e-3 * [0.7, -1.1, 0.2, 1.3, -0.8, -0.4, 0.9][((3 * i + 5 * j) % 7) as usize];
            let loss = (1.2 + 40.0 * n.powf(-0.3) + 90.0 * d.powf(-0.3)) * ripple;
            csv += &format!("m{i},{n},{d},{epochs},{},{loss}\n", 6.0 * n * d);
        }
    }
    csv
}

#[test]
fn the_surface_of_a_file_comes_back_and_is_tested_by_extrapolation() {
    let lab = Lab::without_worker();
    lab.write("runs.csv", &surface());
    let fit = lab.scalelaw("state", &["fit", "parametric", "--points", "runs.csv", "--json", "--sensitivity"]).json();
    for (name, truth) in [("E", 1.2), ("alpha", 0.3), ("beta", 0.3), ("a", 0.5)] {
        let found = &fit["params"][name];
        assert!(found["low"].as_f64() < Some(truth) && Some(truth) < found["high"].as_f64(), "{name}: {found}");
    }
    assert_eq!(
        (&fit["schema_version"], &fit["law"], &fit["points"]["used"]),
        (&1.into(), &"parametric".into(), &30.into())
    );
    assert_eq!(fit["backtest"]["steps"].as_array().map(Vec::len), Some(3));
    assert_eq!(fit["sensitivity"][0]["choice"], "as fitted");
    assert!(fit["convergence"]["converged"] == true && fit["quality"]["r2"].as_f64() > Some(0.999), "{fit}");
    let text = lab.scalelaw("state", &["fit", "parametric", "--points", "runs.csv"]).out;
    for part in ["L = E + A N^-alpha", "best size", "extrapolation:", "starts reached the best", "compare `repeated`"] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    // Samples follow from the compute where they are not given.
    let without = surface()
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>())
        .map(|cells| [cells[1], cells[4], cells[5]].join(","))
        .collect::<Vec<_>>()
        .join("\n");
    lab.write("compute.csv", &without);
    let same = lab.scalelaw("state", &["fit", "parametric", "--points", "compute.csv", "--json"]).json();
    let alpha = |fit: &serde_json::Value| fit["params"]["alpha"]["value"].as_f64().expect("an exponent");
    assert!((alpha(&same) - alpha(&fit)).abs() < 1e-6, "{same}");
}

#[test]
fn forms_are_chosen_and_what_cannot_be_told_is_refused() {
    let lab = Lab::without_worker();
    lab.write("runs.csv", &surface());
    let auto = lab.scalelaw("state", &["fit", "auto", "--points", "runs.csv", "--json"]).json();
    assert_eq!(auto["surfaces"]["winner"], "parametric", "{auto}");
    assert_eq!(auto["curves"]["candidates"].as_array().map(Vec::len), Some(4));
    let few: String = surface().lines().take(5).map(|line| format!("{line}\n")).collect();
    lab.write("few.csv", &few);
    let said = lab.scalelaw("state", &["fit", "parametric", "--points", "few.csv", "--json"]);
    said.check(4, &[]);
    assert_eq!(said.json()["refusal"]["mend"], "add 2 more finished runs");
    let once = surface()
        .lines()
        .filter(|line| !line.contains(",2,") && !line.contains(",4,") && !line.contains(",8,"))
        .map(|line| format!("{line}\n"))
        .collect::<String>();
    lab.write("once.csv", &once);
    lab.scalelaw("state", &["fit", "repeated", "--points", "once.csv"]).check(4, &[]);
    lab.write("loss.csv", "compute,loss\n1,3\n");
    lab.scalelaw("state", &["fit", "parametric", "--points", "loss.csv"])
        .check(2, &["no column \"params\"", "--params-column"]);
    let said = lab.scalelaw("state", &["fit", "parametric", "--points", "runs.csv", "--huber-delta", "-1"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
}

#[test]
fn groups_of_equal_compute_give_the_best_sizes() {
    let lab = Lab::without_worker();
    let mut csv = "params,samples,compute,loss\n".to_owned();
    for budget in 0..4 {
        let compute = 1e18 * 4f64.powi(budget);
        for step in -3..=3 {
            let n = (compute / 6.0 / 20.0).sqrt() * 1.5f64.powi(step);
            let d = compute / 6.0 / n;
            // Equal exponents: the best size is where both terms are equal, and grows as C^1/2.
            let loss = 1.8 + 400.0 * n.powf(-0.34) + 400.0 * 20f64.powf(0.34) * d.powf(-0.34);
            csv += &format!("{n},{d},{compute},{loss}\n");
        }
    }
    lab.write("groups.csv", &csv);
    let fit = lab.scalelaw("state", &["fit", "isoflop", "--points", "groups.csv", "--json"]).json();
    let a = fit["params"]["a"]["value"].as_f64().expect("an exponent");
    assert!((a - 0.5).abs() < 1e-6, "{fit}");
    assert_eq!((fit["minima"].as_array().map(Vec::len), &fit["points"]["used"]), (Some(4), &28.into()));
}

#[test]
fn predictions_have_intervals_and_say_how_far_they_reach() {
    let lab = Lab::without_worker();
    lab.write("runs.csv", &surface());
    let asked = ["predict", "--points", "runs.csv", "--compute", "1e20", "--json"];
    let found = lab.scalelaw("state", &asked).json();
    let size = &found["predictions"]["best_size"];
    // alpha = beta: N* = (40 / 90)^(1 / .6) (C / 6)^.5
    let truth = (40.0_f64 / 90.0).powf(1.0 / 0.6) * (1e20_f64 / 6.0).sqrt();
    assert!(size["low"].as_f64() < Some(truth) && Some(truth) < size["high"].as_f64(), "{found}");
    assert!(found["warnings"][0].as_str().is_some_and(|text| text.contains("beyond the largest run")), "{found}");
    let model = ["predict", "--points", "runs.csv", "--model", "m4", "--epochs", "8", "--json"];
    let loss = lab.scalelaw("state", &model).json()["predictions"]["loss_of_one_run"].clone();
    let truth = 1.2 + 40.0 * 2.56e8_f64.powf(-0.3) + 90.0 * 8e8_f64.powf(-0.3);
    assert!(loss["low"].as_f64() < Some(truth) && Some(truth) < loss["high"].as_f64(), "{loss}");
    lab.scalelaw("state", &["predict", "--points", "runs.csv"]).check(2, &["--compute C, or --model NAME"]);
    lab.scalelaw("state", &["predict", "--points", "runs.csv", "--model", "m9"]).check(2, &["no model \"m9\"", "m0"]);
}

#[test]
fn suggested_runs_are_a_sweep_that_can_be_run() {
    let lab = Lab::without_worker();
    lab.write("demo.toml", &shipped("demo"));
    let simulated = "state";
    lab.simulate(simulated, "demo.toml", &[]);
    let said = lab.scalelaw(simulated, &["suggest", "demo", "--budget", "1", "--out", "next.toml", "--json"]);
    said.check(0, &["wrote next.toml", "fit parametric demo --with next.toml"]);
    let plan = said.json();
    assert!(plan["half_width_after"].as_f64() < plan["half_width_before"].as_f64(), "{plan}");
    let runs = plan["runs"].as_array().expect("runs").len();
    let planned = lab.scalelaw("fresh", &["plan", "next.toml", "--json"]).json();
    assert_eq!(planned["runs"].as_array().map(Vec::len), Some(runs), "{planned}");
    // Both together are more than the first alone.
    lab.simulate(simulated, "next.toml", &[]);
    let rows = |more: &[&str]| {
        let fit = lab.scalelaw(simulated, &[&["fit", "lr", "demo", "--json"], more].concat()).json();
        fit["noise"]["df"].as_u64().unwrap_or(0)
    };
    assert!(rows(&["--with", "next.toml"]) > rows(&[]));
    // A prediction is kept, and scored once its run has come in.
    let ask = ["predict", "demo", "--model", "L", "--epochs", "2", "--save"];
    lab.scalelaw(simulated, &ask).check(0, &["kept;"]);
    let scores = |lab: &Lab| {
        lab.scalelaw(simulated, &["predict", "demo", "--scores", "--json"]).json()["predictions"][0].clone()
    };
    assert!(scores(&lab)["loss"].is_null() && scores(&lab)["prediction"]["known"].is_null(), "{}", scores(&lab));
    let longer =
        std::fs::read_to_string(lab.path("demo.toml")).expect("there").replace("epochs = [0.125", "epochs = [2, 0.125");
    lab.write("demo.toml", &longer);
    lab.simulate(simulated, "demo.toml", &[]);
    assert!(scores(&lab)["error"].as_f64().is_some_and(|error| error.abs() < 0.2), "{}", scores(&lab));
    lab.scalelaw(simulated, &["suggest", "demo", "--budget", "1", "--goal", "loss"]).check(2, &["--compute C"]);
}

/// A table of choices begins with the law as it is fitted, and asking for it changes nothing else.
#[test]
fn the_table_of_choices_only_adds_to_a_law() {
    let lab = Lab::without_worker();
    lab.write("runs.csv", &surface());
    for law in ["parametric", "repeated", "power", "saturating", "frontier"] {
        let ask = |more: &[&str]| {
            let asked = [&["fit", law, "--points", "runs.csv", "--resamples", "200", "--json"][..], more].concat();
            lab.scalelaw("state", &asked).json()
        };
        let (plain, table) = (ask(&[]), ask(&["--sensitivity"]));
        for part in ["params", "points", "warnings", "refusal"] {
            assert_eq!(plain[part], table[part], "{law} {part}");
        }
        if plain.get("refusal").is_none() {
            assert_eq!(table["sensitivity"][0]["params"], plain["params"], "{law}");
        }
    }
}

#[test]
fn rows_that_are_left_out_or_repeated_change_nothing() {
    let lab = Lab::without_worker();
    lab.write("runs.csv", &surface());
    let bad = "mX,nan,1e8,1,1e15,3\nm0,1e6,-1,1,1e15,3\n";
    let again: String = surface().lines().skip(1).take(3).map(|line| format!("{line}\n")).collect();
    lab.write("more.csv", &(surface() + bad + &again));
    let ask = |file| lab.scalelaw("state", &["fit", "parametric", "--points", file, "--json"]).json();
    let (plain, more) = (ask("runs.csv"), ask("more.csv"));
    for part in ["params", "best_at_largest_compute", "backtest"] {
        assert_eq!(plain[part], more[part], "{part}");
    }
    assert_eq!(more["points"]["excluded"].as_array().map(Vec::len), Some(5), "{more}");
    assert!(more["warnings"].to_string().contains("3 rows repeat earlier ones: counted once"), "{more}");
}

#[test]
fn options_that_would_do_nothing_are_refused() {
    let lab = Lab::without_worker();
    lab.write("runs.csv", &surface());
    let refused = |options: &[&str], said: &str| {
        lab.scalelaw("state", &[&["fit"], options, &["--points", "runs.csv"]].concat()).check(2, &[said]);
    };
    refused(&["parametric", "--resamples", "1"], "from 200 to 100000");
    refused(&["power", "--end-weight", "nan"], "from 0 to 10");
    refused(&["power", "--end-weight", "-1"], "from 0 to 10");
    refused(&["power", "--intervals", "runs"], "no effect on power");
    refused(&["isoflop", "--intervals", "runs"], "no effect on isoflop");
    refused(&["auto", "--sensitivity"], "no table for auto");
    refused(&["power", "--stage", "pretraining"], "--stage");
    lab.scalelaw("state", &["suggest", "--budget", "-1"]).check(2, &["a number above 0"]);
}

#[test]
fn a_law_that_extrapolates_badly_says_so_and_of_two_the_better_is_named() {
    let lab = Lab::without_worker();
    let row = |i: i32| 1.9f64.powi(i);
    let level: String = (0..20).map(|i| format!("{},{}\n", row(i), 1.5 + 4.0 * row(i).powf(-0.25))).collect();
    lab.write("level.csv", &format!("compute,loss\n{level}"));
    let fit = lab.scalelaw("state", &["fit", "power", "--points", "level.csv", "--resamples", "200", "--json"]).json();
    assert!(fit["warnings"].to_string().contains("of the largest runs lie inside"), "{fit}");
    let mut csv = "model,params,samples,compute,loss\n".to_owned();
    for (i, j) in (0..7).flat_map(|i| (0..7).map(move |j| (i, j))) {
        let (n, d) = (1e6 * 4f64.powi(i), 2e7 * 4f64.powi(j));
        let ripple = 1.0 + 2e-4 * [0.7, -1.1, 0.2, 1.3, -0.8, -0.4, 0.9][((3 * i + 5 * j) % 7) as usize];
        let loss = (1.7 + 400.0 * n.powf(-0.34) + 400.0 * d.powf(-0.28)) * ripple;
        csv += &format!("m{i},{n},{d},{},{loss}\n", 6.0 * n * d);
    }
    lab.write("runs.csv", &csv);
    let asked = ["predict", "--points", "runs.csv", "--compute", "1e24", "--resamples", "200", "--json"];
    let found = lab.scalelaw("state", &asked).json();
    assert!(found["warnings"].to_string().contains("that favours the parametric law"), "{found}");
}
