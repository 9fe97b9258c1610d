//! Two laws at equal compute: which loss is lower, by how much, and what the difference is worth in compute.

use serde::Serialize;

use crate::{Estimate, LawFit, Refusal};

/// Computes at which two laws are compared.
const PLACES: usize = 5;
/// Largest factor of compute that is looked for, and its inverse the smallest.
const FARTHEST: f64 = 1e4;
/// Steps of the search to either side of equal compute; the last one is halved.
const STEPS: usize = 60;
/// Quantile of the normal distribution at 1 - 0.05 / (2 * PLACES) over that at 1 - 0.05 / 2: how much wider intervals are of which all
/// five hold at the same time (Bonferroni).
const TOGETHER: f64 = 2.575_829 / 1.959_964;

/// Two laws of the same measurement over the same kind of compute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Compute from which to which both laws have points.
    pub range: (f64, f64),
    /// At both ends of the range and evenly between them on a logarithmic axis, ascending.
    pub at: Vec<AtEqual>,
    /// Exponent of the other law less that of the first: where both are powers, positive where the other one falls faster.
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
    /// The other over the first: below 1 where the other is lower. The interval is that of this place alone.
    pub ratio: Estimate,
    /// How many times the compute the other law needs for what the first reaches here.
    pub factor: Factor,
}

/// A factor of compute.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "where", rename_all = "snake_case")]
pub enum Factor {
    /// Below a ten-thousandth.
    Below,
    /// Found.
    At {
        /// The best single number.
        value: f64,
        /// Lower end of the 95 % interval; `None` where it is below a ten-thousandth.
        low: Option<f64>,
        /// Upper end of the 95 % interval; `None` where it is above ten thousand.
        high: Option<f64>,
        /// Whether that compute is outside the points of the other law, which is then taken to go on as it was fitted.
        beyond: bool,
    },
    /// Above ten thousand, or the other law never gets there.
    Above,
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
/// of the factor of compute holds the factors at which that interval holds 0. A law is lower in some places only where it still is with
/// intervals that hold at all places together, so that two equal laws are told apart at most one time in twenty.
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

/// Where `law`, which falls, reaches what the first law is at `compute`, as a factor of it.
fn factor(first: Estimate, law: &LawFit, compute: f64) -> Factor {
    let first = logarithm(first);
    let gap = |at: f64| difference(first, logarithm(law.predict(compute * at.exp())));
    // All three fall with the factor as far as the bands do not open.
    let middle = |at: f64| law.at(compute * at.exp()).ln() - first.value;
    let Some(found) = crossing(0.0, middle) else {
        return if middle(0.0) > 0.0 { Factor::Above } else { Factor::Below };
    };
    let bound = |read: fn(&Estimate) -> f64| crossing(found, |at| read(&gap(at))).map(f64::exp);
    let value = found.exp();
    let beyond = !(law.x_range.0..=law.x_range.1).contains(&(compute * value));
    Factor::At { value, low: bound(|gap| gap.low), high: bound(|gap| gap.high), beyond }
}

/// Where a falling function changes its sign: walks from `start` to where that must be, and halves the last step.
fn crossing(start: f64, f: impl Fn(f64) -> f64) -> Option<f64> {
    let before = f(start) > 0.0;
    let step = if before { 1.0 } else { -1.0 } * FARTHEST.ln() / STEPS as f64;
    let mut near = start;
    loop {
        let far = near + step;
        // Not a whole step further than is looked for.
        if far.abs() > FARTHEST.ln() + 0.5 * step.abs() {
            return None;
        }
        let value = f(far);
        if value.is_nan() {
            return None;
        }
        if (value > 0.0) != before {
            return Some(halved(near, far, |x| (f(x) > 0.0) == before));
        }
        near = far;
    }
}

/// Between a place where `holds` and one where it does not.
fn halved(mut near: f64, mut far: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..40 {
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
    // That one law is lower at all places is as certain as at the least certain of them.
    if at.iter().all(|at| at.ratio.low > 1.0) {
        return Lower::One;
    }
    if at.iter().all(|at| at.ratio.high < 1.0) {
        return Lower::Other;
    }
    let log = |at: &AtEqual| logarithm(at.ratio);
    let one = at.iter().map(log).any(|log| log.value - TOGETHER * (log.value - log.low) > 0.0);
    let other = at.iter().map(log).any(|log| log.value + TOGETHER * (log.high - log.value) < 0.0);
    match (one, other) {
        (true, true) => Lower::Cross,
        (true, false) => Lower::OneInPlaces,
        (false, true) => Lower::OtherInPlaces,
        (false, false) => Lower::CannotTell,
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
        let truth = 1.1_f64.powf(20.0);
        let Factor::At { value, low: Some(low), high: Some(high), beyond } = middle.factor else {
            panic!("{middle:?}");
        };
        assert!(low < truth && truth < high && (value / truth).ln().abs() < 0.1 && !beyond, "{middle:?}");
        let last = compared.at[4].factor;
        assert!(matches!(last, Factor::At { beyond: false, .. }), "6.7e4 of 1e5: {last:?}");
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
    fn factors_out_of_reach_are_told_with_their_side() {
        // Twice the loss at an exponent of 0.01: 2^100 times the compute.
        let (low, high) = (law(1.0, 0.01, (1.0, 1e3), 0.0001, 6), law(2.0, 0.01, (1.0, 1e3), 0.0001, 7));
        let compared = compare(&low, &high).expect("they overlap");
        assert!(compared.at.iter().all(|at| at.factor == Factor::Above), "{compared:?}");
        let back = compare(&high, &low).expect("they overlap");
        assert!(back.at.iter().all(|at| at.factor == Factor::Below), "{back:?}");
        // A factor of 100 leads out of three decades.
        let near = law(1.0 * 100f64.powf(0.01), 0.01, (1.0, 1e3), 0.0001, 8);
        let last = compare(&low, &near).expect("they overlap").at[4].factor;
        assert!(matches!(last, Factor::At { value, beyond: true, .. } if (value / 100.0).ln().abs() < 0.2), "{last:?}");
    }

    #[test]
    fn without_common_compute_there_is_no_comparison() {
        let (one, other) = (law(1.0, 0.1, (1.0, 10.0), 0.001, 8), law(1.0, 0.1, (20.0, 100.0), 0.001, 9));
        let refusal = compare(&one, &other).expect_err("they are apart");
        assert!(refusal.to_string().contains("no compute in common"), "{refusal}");
        assert!(refusal.mend().contains("between 10 and 20"), "{}", refusal.mend());
        let touching = law(1.0, 0.1, (10.0, 100.0), 0.001, 9);
        let refusal = compare(&touching, &one).expect_err("they only touch");
        assert!(refusal.mend().contains("beyond 10"), "{}", refusal.mend());
    }

    /// Of 400 pairs of equal laws nominal 95 % intervals of the ratio and of the factor hold 1 about that often, and the pairs are
    /// told apart no more than one time in twenty, as far as 400 can tell (0.05 and four standard errors: 0.094).
    #[test]
    fn intervals_hold_what_they_promise() {
        let pairs = 400;
        let compared = |pair: u64| {
            let one = law(3.0, 0.05, (1.0, 1e4), 0.01, 1000 + 2 * pair);
            let other = law(3.0, 0.05, (1.0, 1e4), 0.01, 1001 + 2 * pair);
            compare(&one, &other).expect("they overlap")
        };
        let all: Vec<Comparison> = (0..pairs).map(compared).collect();
        let holds = |at: &AtEqual| at.ratio.low <= 1.0 && 1.0 <= at.ratio.high;
        let factor_holds = |at: &AtEqual| match at.factor {
            Factor::At { low, high, .. } => low.is_none_or(|low| low <= 1.0) && high.is_none_or(|high| high >= 1.0),
            _ => false,
        };
        let count = |test: &dyn Fn(&Comparison) -> bool| all.iter().filter(|compared| test(compared)).count();
        let (ratio, factor) = (count(&|one| holds(&one.at[2])), count(&|one| factor_holds(&one.at[2])));
        assert!((360..=396).contains(&ratio) && (360..=396).contains(&factor), "{ratio}, {factor} of {pairs}");
        let apart = count(&|one| one.lower != Lower::CannotTell);
        assert!(apart <= 37, "{apart} of {pairs} told apart");
    }
}
