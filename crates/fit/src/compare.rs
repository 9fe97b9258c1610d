//! Two laws at equal compute: which loss is lower, by how much, and what the difference is worth in compute.

use serde::Serialize;

use crate::{Estimate, LawFit, Refusal};

/// Computes at which two laws are compared.
const PLACES: usize = 5;
/// Largest factor of compute that is looked for, and its inverse the smallest.
const FARTHEST: f64 = 1e4;
/// Steps of the search to either side of equal compute.
const STEPS: usize = 400;

/// Two laws of the same measurement over the same kind of compute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Compute from which to which both laws have points.
    pub range: (f64, f64),
    /// At both ends of the range and evenly between them on a logarithmic axis, ascending.
    pub at: Vec<AtEqual>,
    /// Exponent of the other law less that of the first: positive where the other one falls faster.
    pub exponents: Estimate,
    /// Which law is lower.
    pub lower: Lower,
}

/// Both laws at one compute.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AtEqual {
    /// The compute.
    pub compute: f64,
    /// The first law there.
    pub one: Estimate,
    /// The other law there.
    pub other: Estimate,
    /// The other over the first: below 1 where the other is lower.
    pub ratio: Estimate,
    /// How many times the compute the other law needs for what the first reaches here.
    pub factor: Option<Factor>,
}

/// A factor of compute.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Factor {
    /// The best single number.
    pub value: f64,
    /// Lower end of the 95 % interval; `None` where it is below a ten-thousandth.
    pub low: Option<f64>,
    /// Upper end of the 95 % interval; `None` where it is above ten thousand.
    pub high: Option<f64>,
}

/// Which of two laws is lower where both have points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lower {
    /// The first, wherever they were compared.
    One,
    /// The other, wherever they were compared.
    Other,
    /// One of them in places; nowhere the other.
    OneInPlaces,
    /// The other in places; nowhere the first.
    OtherInPlaces,
    /// One of them here, the other there.
    Cross,
    /// Nowhere with 95 % confidence.
    CannotTell,
}

/// Compares two laws over the compute that both have points for.
///
/// The errors of the two are independent, so the interval of the logarithm of their ratio follows from the two intervals by the method
/// of variance estimates recovery (Zou and Donner 2008, Statistics in Medicine 27, equation 8), which keeps their skewness. The interval
/// of the factor of compute holds the factors at which that interval holds 0.
///
/// # Errors
/// [`Refusal::NoCommonRange`] where the points of one law end before those of the other begin.
pub fn compare(one: &LawFit, other: &LawFit) -> Result<Comparison, Refusal> {
    let range = (one.x_range.0.max(other.x_range.0), one.x_range.1.min(other.x_range.1));
    // Points at one compute only are no range.
    if range.0 >= range.1 {
        return Err(Refusal::NoCommonRange { one: one.x_range, other: other.x_range });
    }
    let place = |i: usize| range.0 * (range.1 / range.0).powf(i as f64 / (PLACES - 1) as f64);
    let at: Vec<AtEqual> = (0..PLACES).map(|i| at_equal(one, other, place(i))).collect();
    let alpha = |law: &LawFit| law.params.get("alpha").copied().unwrap_or(NOTHING);
    let lower = lower(&at);
    Ok(Comparison { range, at, exponents: difference(alpha(one), alpha(other)), lower })
}

/// What is not there.
const NOTHING: Estimate = Estimate { value: f64::NAN, low: f64::NAN, high: f64::NAN };

fn at_equal(one: &LawFit, other: &LawFit, compute: f64) -> AtEqual {
    let (first, second) = (one.predict(compute), other.predict(compute));
    let log = difference(logarithm(first), logarithm(second));
    let ratio = Estimate { value: log.value.exp(), low: log.low.exp(), high: log.high.exp() };
    AtEqual { compute, one: first, other: second, ratio, factor: factor(first, other, compute) }
}

/// Where `law` reaches what the first law is at `compute`, as a factor of it.
fn factor(first: Estimate, law: &LawFit, compute: f64) -> Option<Factor> {
    let first = logarithm(first);
    let gap = |at: f64| difference(first, logarithm(law.predict(compute * at.exp())));
    // The law falls, so all three fall with the factor as far as the bands do not open.
    let value = crossing(0.0, |at| gap(at).value)?;
    let bound = |read: fn(&Estimate) -> f64| crossing(value, |at| read(&gap(at))).map(f64::exp);
    Some(Factor { value: value.exp(), low: bound(|gap| gap.low), high: bound(|gap| gap.high) })
}

/// Where a falling function changes its sign: walks from `start` to where that must be, and halves the last step.
fn crossing(start: f64, f: impl Fn(f64) -> f64) -> Option<f64> {
    let sign = |x: f64| f(x) > 0.0;
    let before = sign(start);
    let step = if before { 1.0 } else { -1.0 } * FARTHEST.ln() / STEPS as f64;
    let mut near = start;
    for i in 1..=STEPS {
        let far = start + step * i as f64;
        if far.abs() > FARTHEST.ln() || f(far).is_nan() {
            return None;
        }
        if sign(far) != before {
            return Some(halved(near, far, |x| sign(x) == before));
        }
        near = far;
    }
    None
}

/// Between a place where `holds` and one where it does not.
fn halved(mut near: f64, mut far: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..60 {
        let middle = 0.5 * (near + far);
        if holds(middle) {
            near = middle;
        } else {
            far = middle;
        }
    }
    0.5 * (near + far)
}

fn logarithm(estimate: Estimate) -> Estimate {
    Estimate { value: estimate.value.ln(), low: estimate.low.ln(), high: estimate.high.ln() }
}

/// The other less the first, whose errors are independent.
fn difference(one: Estimate, other: Estimate) -> Estimate {
    let value = other.value - one.value;
    let low = value - (other.value - other.low).hypot(one.high - one.value);
    let high = value + (other.high - other.value).hypot(one.value - one.low);
    Estimate { value, low, high }
}

fn lower(at: &[AtEqual]) -> Lower {
    let one = at.iter().filter(|at| at.ratio.low > 1.0).count();
    let other = at.iter().filter(|at| at.ratio.high < 1.0).count();
    match (one, other) {
        (0, 0) => Lower::CannotTell,
        (all, 0) if all == at.len() => Lower::One,
        (0, all) if all == at.len() => Lower::Other,
        (_, 0) => Lower::OneInPlaces,
        (0, _) => Lower::OtherInPlaces,
        _ => Lower::Cross,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::{Point, Settings, power};

    /// L = a C^-alpha with scatter, at computes from `from` to `to`.
    fn law(a: f64, alpha: f64, (from, to): (f64, f64), scatter: f64, seed: u64) -> LawFit {
        let mut random = Random::new(seed);
        let point = |i: usize| {
            let x = from * (to / from).powf(i as f64 / 9.0);
            Point { row: i, x, y: a * x.powf(-alpha) * (scatter * random.normal()).exp() }
        };
        power(&(0..10).map(point).collect::<Vec<_>>(), &Settings::default()).expect("a law")
    }

    #[test]
    fn a_planted_difference_is_found() {
        let (one, other) = (law(4.0, 0.05, (1.0, 1e4), 0.002, 1), law(4.4, 0.05, (10.0, 1e5), 0.002, 2));
        let compared = compare(&one, &other).expect("they overlap");
        assert!((compared.range.0 / 10.0 - 1.0).abs() < 1e-9 && (compared.range.1 / 1e4 - 1.0).abs() < 1e-9);
        assert_eq!(compared.lower, Lower::One);
        assert!(compared.exponents.low < 0.0 && compared.exponents.high > 0.0, "{compared:?}");
        let middle = compared.at[2];
        assert!(middle.ratio.low < 1.1 && middle.ratio.high > 1.1 && (middle.ratio.value - 1.1).abs() < 0.005);
        // 1.1^(1 / 0.05) = 6.7 times the compute.
        let factor = middle.factor.expect("both fall");
        let truth = 1.1_f64.powf(20.0);
        assert!(factor.low.expect("near") < truth && truth < factor.high.expect("near"), "{factor:?}");
        assert!((factor.value / truth).ln().abs() < 0.1, "{factor:?}");
        // Seen from the other side, the same.
        let back = compare(&other, &one).expect("they overlap");
        assert_eq!(back.lower, Lower::Other);
        assert!((back.at[2].ratio.value * middle.ratio.value - 1.0).abs() < 1e-12);
        assert!((back.at[2].ratio.low * middle.ratio.high - 1.0).abs() < 1e-9);
    }

    #[test]
    fn laws_that_cross_are_told_from_laws_that_agree() {
        let (slow, fast) = (law(3.0, 0.03, (1.0, 1e6), 0.001, 3), law(3.6, 0.06, (1.0, 1e6), 0.001, 4));
        let compared = compare(&slow, &fast).expect("they overlap");
        assert_eq!(compared.lower, Lower::Cross);
        assert!((compared.exponents.value - 0.03).abs() < 0.002 && compared.exponents.low > 0.0);
        let same = law(3.0, 0.03, (1.0, 1e6), 0.02, 5);
        assert_eq!(compare(&same, &slow).expect("they overlap").lower, Lower::CannotTell);
    }

    #[test]
    fn a_law_that_does_not_get_there_has_no_factor() {
        // Twice the loss at an exponent of 0.01: 2^100 times the compute.
        let (low, high) = (law(1.0, 0.01, (1.0, 1e3), 0.0001, 6), law(2.0, 0.01, (1.0, 1e3), 0.0001, 7));
        let compared = compare(&low, &high).expect("they overlap");
        assert!(compared.at.iter().all(|at| at.factor.is_none()), "{compared:?}");
    }

    #[test]
    fn without_common_compute_there_is_no_comparison() {
        let (one, other) = (law(1.0, 0.1, (1.0, 10.0), 0.001, 8), law(1.0, 0.1, (20.0, 100.0), 0.001, 9));
        let refusal = compare(&one, &other).expect_err("they are apart");
        assert!(refusal.to_string().contains("no compute in common"), "{refusal}");
        assert!(refusal.mend().contains("between 10 and 20"), "{}", refusal.mend());
    }

    /// Of 300 pairs of equal laws nominal 95 % intervals of the ratio hold 1 about that often.
    #[test]
    fn intervals_hold_what_they_promise() {
        let pairs = 300;
        let holds = |pair: u64| {
            let one = law(3.0, 0.05, (1.0, 1e4), 0.01, 1000 + 2 * pair);
            let other = law(3.0, 0.05, (1.0, 1e4), 0.01, 1001 + 2 * pair);
            let ratio = compare(&one, &other).expect("they overlap").at[2].ratio;
            ratio.low <= 1.0 && 1.0 <= ratio.high
        };
        let held = (0..pairs).filter(|pair| holds(*pair)).count();
        assert!((279..=300).contains(&held), "{held} of {pairs}");
    }
}
