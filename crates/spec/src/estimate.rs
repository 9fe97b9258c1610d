//! How long what is left will take, with a range: estimates corrected by what finished runs really took, then runs put one after
//! another on the slots that become free.

/// What finished runs say about estimates: logarithms of measured over estimated seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimator {
    count: f64,
    sum: f64,
    squares: f64,
}

/// Standard deviations from the middle to an end of the range, of a spread that so many runs have shown: nine sweeps in ten lie inside,
/// were the logarithms of the estimates' errors normal. Student's t by its expansion about the normal quantile (Abramowitz and Stegun,
/// 26.7.5).
fn width(runs: f64) -> f64 {
    let (z, free) = (1.6449_f64, (runs - 1.0).max(1.0));
    z + (z.powi(3) + z) / (4.0 * free) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * free * free)
}

/// Seconds in which a scheduler notices that an attempt has to stop, and tells it.
pub const LATENESS: f64 = 1.0;

/// Standard deviations above the mean that nine in ten lie below.
const NINE_IN_TEN: f64 = 1.2816;

/// Standard deviation of the logarithm that a single measurement is taken to have, of which nobody knows how far others are off: a
/// factor of 1.5 either way.
const UNKNOWN: f64 = 0.405;

/// Seconds left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Eta {
    /// Most likely.
    pub seconds: f64,
    /// Lower end of the range.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Estimator {
    /// A run took `measured` seconds where `estimated` were expected; what is not above 0 teaches nothing.
    pub fn learn(&mut self, estimated: f64, measured: f64) {
        let ratio = (measured / estimated).ln();
        if estimated > 0.0 && measured > 0.0 && ratio.is_finite() {
            self.count += 1.0;
            self.sum += ratio;
            self.squares += ratio * ratio;
        }
    }

    /// Runs that it has learnt from.
    pub fn runs(&self) -> u64 {
        self.count as u64
    }

    /// Geometric mean of measured over estimated seconds, and the standard deviation of the logarithm of one run around it; none
    /// before the first run.
    fn ratio(&self) -> Option<(f64, f64)> {
        if self.count == 0.0 {
            return None;
        }
        let mean = self.sum / self.count;
        let spread = if self.count < 2.0 {
            UNKNOWN
        } else {
            ((self.squares - self.count * mean * mean).max(0.0) / (self.count - 1.0)).sqrt()
        };
        Some((mean.exp(), spread))
    }

    /// Seconds that nine in ten runs that are estimated at `seconds` will not take more than. Where no run has shown what estimates are
    /// worth, they may be off by a factor of 1.5, and where one has, so may the next.
    pub fn most(&self, seconds: f64) -> f64 {
        let Some((mean, spread)) = self.ratio() else { return UNKNOWN.exp() * seconds };
        let spread = if self.count < 2.0 { UNKNOWN } else { NINE_IN_TEN * spread };
        seconds * mean * spread.exp()
    }

    /// How many times their estimates finished runs took; none before the first.
    pub fn factor(&self) -> Option<f64> {
        self.ratio().map(|(mean, _)| mean)
    }

    /// Device seconds to set aside for a run on `devices` that is estimated at `seconds`: what it will hardly exceed, and the time in
    /// which it can be stopped, `grace` seconds.
    pub fn reservation(&self, seconds: f64, devices: u32, grace: f64) -> f64 {
        (self.most(seconds) + grace + LATENESS) * f64::from(devices)
    }

    /// Time until runs with these estimated seconds left are done on `slots` slots, those that run already first; none before the
    /// first run has shown what estimates are worth.
    ///
    /// All runs share the error of the mean, and each has one of its own; the latter average out over many runs but not within the
    /// longest, which the end waits for.
    pub fn eta(&self, left: &[f64], slots: usize) -> Option<Eta> {
        let (mean, spread) = self.ratio()?;
        let span = makespan(left, slots);
        let squares: f64 = left.iter().map(|seconds| seconds * seconds).sum();
        let total: f64 = left.iter().sum();
        // Relative deviation of the sum of independent errors, and of the mean that they all are corrected by.
        let own = if total > 0.0 { spread * squares.sqrt() / total } else { 0.0 };
        let shared = spread / self.count.sqrt();
        // On many slots the end is that of one of few runs: never surer than the slots allow.
        let own = own * (slots.max(1) as f64).sqrt().min(total / span.max(f64::MIN_POSITIVE)).max(1.0);
        let factor = (width(self.count) * own.min(spread).hypot(shared)).exp();
        // Of many runs the mean counts, which lies above the middle where errors are factors.
        let seconds = mean * (spread * spread / 2.0).exp() * span;
        Some(Eta { seconds, low: seconds / factor, high: seconds * factor })
    }
}

/// When the last of these is done if each starts on the slot that is free first, in their order: list scheduling.
pub fn makespan(seconds: &[f64], slots: usize) -> f64 {
    let mut free = vec![0.0_f64; slots.max(1).min(seconds.len().max(1))];
    // A heap of negated times would save little: slots are few.
    for length in seconds {
        if let Some(first) = free.iter_mut().min_by(|a, b| a.total_cmp(b)) {
            *first += length.max(0.0);
        }
    }
    free.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn learnt(ratios: &[f64]) -> Estimator {
        let mut estimator = Estimator::default();
        ratios.iter().for_each(|ratio| estimator.learn(10.0, 10.0 * ratio));
        estimator
    }

    #[test]
    fn nothing_is_said_before_the_first_run() {
        assert_eq!(Estimator::default().eta(&[1.0], 1), None);
        let mut taught_nothing = Estimator::default();
        taught_nothing.learn(0.0, 1.0);
        taught_nothing.learn(1.0, 0.0);
        assert_eq!((taught_nothing.runs(), taught_nothing.eta(&[1.0], 1)), (0, None));
    }

    #[test]
    fn caution_follows_the_spread() {
        assert!((Estimator::default().most(10.0) - 15.0).abs() < 0.01);
        assert!((learnt(&[2.0]).most(10.0) - 30.0).abs() < 0.02);
        assert!((learnt(&[2.0, 2.0, 2.0]).most(10.0) - 20.0).abs() < 1e-9);
        assert!(learnt(&[1.0, 4.0]).most(10.0) > 60.0);
    }

    #[test]
    fn slots_are_filled_in_order() {
        assert_eq!(makespan(&[], 4), 0.0);
        assert_eq!(makespan(&[3.0, 1.0, 1.0, 5.0], 2), 7.0);
        assert_eq!(makespan(&[3.0, 1.0], 0), 4.0, "no slot counts as one");
    }

    /// Of many sweeps whose runs take what is estimated times a factor that spreads by a third, nine in ten end within the range.
    #[test]
    fn nine_sweeps_in_ten_end_within_the_range() {
        let mut state = 1;
        let mut uniform = || {
            state = crate::order::mix(state);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut normal = || (-2.0 * uniform().max(1e-300).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
        for (finished, slots) in [(6, 1), (10, 2), (20, 4)] {
            let sweeps = 1000;
            let mut inside = 0;
            for _ in 0..sweeps {
                let factor = 1.7;
                let runs: Vec<(f64, f64)> = (0..40)
                    .map(|index| 1.12_f64.powi(index))
                    .map(|estimated| (estimated, estimated * factor * (0.3 * normal()).exp()))
                    .collect();
                let mut estimator = Estimator::default();
                runs[..finished].iter().for_each(|(estimated, measured)| estimator.learn(*estimated, *measured));
                let (left, truth): (Vec<f64>, Vec<f64>) = runs[finished..].iter().copied().unzip();
                let (eta, end) = (estimator.eta(&left, slots).expect("learnt"), makespan(&truth, slots));
                inside += u32::from(eta.low <= end && end <= eta.high);
            }
            let share = f64::from(inside) / f64::from(sweeps);
            assert!((0.85..=0.99).contains(&share), "{finished} finished, {slots} slots: {share}");
        }
    }

    #[test]
    fn even_ratios_leave_no_doubt() {
        let eta = learnt(&[2.0, 2.0, 2.0]).eta(&[10.0, 10.0], 1).expect("three runs");
        assert!((eta.seconds - 40.0).abs() < 1e-9 && (eta.high - eta.low) < 1e-4, "{eta:?}");
        assert!(learnt(&[2.0]).eta(&[10.0], 1).expect("one run").high > 50.0);
    }

    proptest! {
        #[test]
        fn list_scheduling_keeps_its_bounds(seconds in prop::collection::vec(0.0..100.0_f64, 0..40), slots in 1_usize..9) {
            let (span, total) = (makespan(&seconds, slots), seconds.iter().sum::<f64>());
            let longest = seconds.iter().copied().fold(0.0, f64::max);
            let least = longest.max(total / slots as f64);
            prop_assert!(span >= least - 1e-9 && span <= total / slots as f64 + longest + 1e-9);
        }

        #[test]
        fn the_range_holds_the_middle(
            ratios in prop::collection::vec(0.1..10.0_f64, 1..20), left in prop::collection::vec(0.1..100.0_f64, 0..40), slots in 1_usize..9,
        ) {
            let eta = learnt(&ratios).eta(&left, slots).expect("learnt");
            prop_assert!(eta.low <= eta.seconds && eta.seconds <= eta.high && eta.high.is_finite());
            prop_assert_eq!(eta.seconds == 0.0, left.is_empty());
        }

        #[test]
        fn more_runs_of_the_same_spread_narrow_the_range(ratio in 1.1..4.0_f64, times in 2_usize..10) {
            let few = [ratio, 1.0 / ratio];
            let width = |ratios: &[f64]| {
                let eta = learnt(ratios).eta(&[10.0; 50], 1).expect("learnt");
                eta.high / eta.low
            };
            prop_assert!(width(&few.repeat(times)) < width(&few));
        }
    }
}
