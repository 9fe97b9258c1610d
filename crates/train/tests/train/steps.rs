//! What one step of the optimiser does.

use spec::run::{Agc, OptimizerSpec};
use tch::{Device, Kind, Tensor};
use train::agc;
use train::optimizer::{self, Optimizer};
use train::parameters::{Declared, Init, Parameters, Role};

use crate::{check_close, numbers, tensor, values};

const AGC: Agc = Agc { lambda: 0.05, eps: 1e-3 };

fn parameters() -> Parameters {
    let one = |name: &str, shape: &[i64], role| Declared {
        name: name.to_owned(),
        shape: shape.to_vec(),
        role,
        init: Init::Normal(0.5),
    };
    let declared = vec![
        one("gain", &[5], Role::Vector),
        one("conv", &[4, 2, 3, 3], Role::Weight),
        one("skip", &[1], Role::Vector),
        one("fc", &[3, 6], Role::Weight),
        one("head", &[3, 4], Role::Classifier),
    ];
    Parameters::new(declared, 4, Device::Cpu).expect("memory")
}

/// Gradients of very different sizes, so that some units are clipped and some are not.
fn gradients(parameters: &Parameters, seed: u64) -> Vec<Vec<f64>> {
    let gradient = |(index, one): (usize, &Declared)| {
        let count: i64 = one.shape.iter().product();
        let rows = one.shape[0] as usize;
        let noise = numbers(count as usize, seed ^ index as u64);
        let per_row = (count as usize / rows).max(1);
        noise.iter().enumerate().map(|(at, value)| value * 10_f64.powi((at / per_row) as i32 - 2)).collect()
    };
    parameters.declared().iter().enumerate().map(gradient).collect()
}

/// Adaptive gradient clipping as arXiv 2102.06171 writes it, unit by unit.
fn clipped(one: &Declared, weight: &[f64], gradient: &[f64]) -> Vec<f64> {
    let unit = match one.role {
        Role::Classifier => return gradient.to_vec(),
        Role::Vector => weight.len(),
        Role::Weight => weight.len() / one.shape[0] as usize,
    };
    let norm = |numbers: &[f64]| numbers.iter().map(|x| x * x).sum::<f64>().sqrt();
    let rows = weight.chunks(unit).zip(gradient.chunks(unit));
    rows.flat_map(|(weight, gradient)| {
        let largest = AGC.lambda * norm(weight).max(AGC.eps);
        let scale = if norm(gradient) > largest { largest / norm(gradient).max(1e-6) } else { 1.0 };
        gradient.iter().map(|g| g * scale).collect::<Vec<f64>>()
    })
    .collect()
}

fn as_tensors(parameters: &Parameters, gradients: &[Vec<f64>]) -> Vec<Tensor> {
    parameters.declared().iter().zip(gradients).map(|(one, numbers)| tensor(numbers, &one.shape)).collect()
}

#[test]
fn gradients_are_clipped_unit_by_unit() {
    let parameters = parameters();
    let plain = gradients(&parameters, 8);
    let found = tensor(&plain.concat(), &[parameters.len()]);
    agc::clip(&parameters, &found, AGC).expect("shapes fit");
    let mut found = values(&found).into_iter();
    let (mut clipped_numbers, mut kept_numbers) = (0, 0);
    for (index, one) in parameters.declared().iter().enumerate() {
        let expected = clipped(one, &values(&parameters.views()[index]), &plain[index]);
        let found: Vec<f64> = found.by_ref().take(expected.len()).collect();
        check_close(&found, &expected, 1e-6, &one.name);
        let changed = expected.iter().zip(&plain[index]).filter(|(expected, plain)| expected != plain).count();
        clipped_numbers += changed;
        kept_numbers += expected.len() - changed;
    }
    assert!(clipped_numbers > 20 && kept_numbers > 20, "{clipped_numbers} clipped, {kept_numbers} kept");
}

#[test]
fn a_vanishing_gradient_stays_finite() {
    let parameters = parameters();
    let zeros = parameters.flat().zeros_like();
    agc::clip(&parameters, &zeros, AGC).expect("shapes fit");
    assert!(values(&zeros).iter().all(|&value| value == 0.0));
}

/// Clip, then add the decay of weights, then momentum, then the step along gradient + momentum (released code).
#[test]
fn steps_follow_the_order_of_the_released_code() {
    let (momentum, weight_decay) = (0.9, 0.02);
    let parameters = parameters();
    let sgd = OptimizerSpec::Sgd { momentum, weight_decay, agc: AGC };
    let mut optimizer = Optimizer::new(sgd, None, &parameters).expect("memory");
    let mut weights: Vec<Vec<f64>> = parameters.views().iter().map(values).collect();
    let mut momenta: Vec<Vec<f64>> = weights.iter().map(|numbers| vec![0.0; numbers.len()]).collect();
    for step in 0..4 {
        let gradients = gradients(&parameters, step);
        let rate = 0.3 / (step + 1) as f64;
        optimizer.step(&parameters, as_tensors(&parameters, &gradients), rate, step).expect("shapes fit");
        for (index, one) in parameters.declared().iter().enumerate() {
            let clipped = clipped(one, &weights[index], &gradients[index]);
            let decay = if one.role == Role::Vector { 0.0 } else { weight_decay };
            for (at, gradient) in clipped.iter().enumerate() {
                let gradient = gradient + decay * weights[index][at];
                momenta[index][at] = momentum * momenta[index][at] + gradient;
                weights[index][at] -= rate * (gradient + momentum * momenta[index][at]);
            }
        }
    }
    for (index, one) in parameters.declared().iter().enumerate() {
        check_close(&values(&parameters.views()[index]), &weights[index], 2e-6, &one.name);
    }
}

/// Loshchilov and Hutter (arXiv 1711.05101), algorithm 2, after clipping the whole gradient to a norm.
#[test]
fn adamw_follows_its_algorithm() {
    let (beta1, beta2, eps, weight_decay, clip_norm) = (0.9, 0.99, 1e-8, 0.1, 1.0);
    let parameters = parameters();
    let adamw = OptimizerSpec::Adamw { beta1, beta2, eps, weight_decay, clip_norm };
    let mut optimizer = Optimizer::new(adamw, None, &parameters).expect("memory");
    let mut weights: Vec<Vec<f64>> = parameters.views().iter().map(values).collect();
    let zeros: Vec<Vec<f64>> = weights.iter().map(|numbers| vec![0.0; numbers.len()]).collect();
    let (mut means, mut squares) = (zeros.clone(), zeros);
    for step in 0..4_i32 {
        let mut gradients = gradients(&parameters, step as u64);
        if step % 2 == 1 {
            // Short enough to stay as it is.
            gradients.iter_mut().flatten().for_each(|gradient| *gradient *= 1e-4);
        }
        let rate = 0.01 / f64::from(step + 1);
        optimizer.step(&parameters, as_tensors(&parameters, &gradients), rate, step as u64).expect("shapes fit");
        let norm = gradients.iter().flatten().map(|gradient| gradient * gradient).sum::<f64>().sqrt();
        let scale = (clip_norm / norm).min(1.0);
        for (index, one) in parameters.declared().iter().enumerate() {
            for (at, gradient) in gradients[index].iter().enumerate() {
                let gradient = gradient * scale;
                let (mean, square) = (&mut means[index][at], &mut squares[index][at]);
                *mean = beta1 * *mean + (1.0 - beta1) * gradient;
                *square = beta2 * *square + (1.0 - beta2) * gradient * gradient;
                let unbiased = *mean / (1.0 - beta1.powi(step + 1));
                let spread = (*square / (1.0 - beta2.powi(step + 1))).sqrt() + eps;
                let decay = if one.role == Role::Vector { 0.0 } else { weight_decay };
                weights[index][at] -= rate * (unbiased / spread + decay * weights[index][at]);
            }
        }
    }
    for (index, one) in parameters.declared().iter().enumerate() {
        check_close(&values(&parameters.views()[index]), &weights[index], 1e-5, &one.name);
    }
}

/// ema <- d ema + (1 - d) weights with d = min(decay, (1 + t) / (10 + t)), beginning at the initial weights.
#[test]
fn the_average_of_the_weights_warms_up() {
    let parameters = parameters();
    let sgd = OptimizerSpec::Sgd { momentum: 0.9, weight_decay: 0.0, agc: AGC };
    let mut optimizer = Optimizer::new(sgd, Some(0.25), &parameters).expect("memory");
    let mut average = values(parameters.flat());
    for step in 0..6_i32 {
        let gradients = as_tensors(&parameters, &gradients(&parameters, step as u64));
        optimizer.step(&parameters, gradients, 0.3, step as u64).expect("shapes fit");
        let decay = (f64::from(1 + step) / f64::from(10 + step)).min(0.25);
        for (average, weight) in average.iter_mut().zip(values(parameters.flat())) {
            *average = decay * *average + (1.0 - decay) * weight;
        }
    }
    check_close(&values(optimizer.evaluated(&parameters).flat()), &average, 2e-6, "average");
    let (name, state) = &optimizer.states()[1];
    assert_eq!((*name, values(state)), ("ema", values(optimizer.evaluated(&parameters).flat())), "what is saved");
    assert_ne!(values(state), values(parameters.flat()));
}

/// Foret et al. (arXiv 2010.01412), equation 2: w + rho g / |g| with one norm over all parameters.
#[test]
fn sharpness_aware_minimisation_looks_uphill() {
    let mut parameters = parameters();
    let start = values(parameters.flat());
    // The gradient of half the squared weights is the weights.
    let squares = |parameters: &Parameters| {
        parameters.views().iter().map(|view| (view * view).sum(Kind::Float) * 0.5).sum::<Tensor>()
    };
    let uphill = optimizer::gradients(&parameters, &squares(&parameters)).expect("a graph");
    let before = optimizer::ascend(&parameters, &uphill, 0.5).expect("shapes fit");
    let norm = start.iter().map(|weight| weight * weight).sum::<f64>().sqrt();
    let moved: Vec<f64> = start.iter().map(|weight| weight * (1.0 + 0.5 / norm)).collect();
    check_close(&values(parameters.flat()), &moved, 1e-6, "moved weights");
    // The gradient that the step is taken with is the one found there.
    let there = optimizer::gradients(&parameters, &squares(&parameters)).expect("a graph");
    check_close(&there.iter().flat_map(values).collect::<Vec<_>>(), &moved, 1e-6, "gradient there");
    parameters.load(&before).expect("the same length");
    assert_eq!(values(parameters.flat()), start, "back to the last bit");
}
