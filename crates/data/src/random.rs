//! Numbers drawn by counting: the n-th number of a stream is a hash of its key and n, so a stream has no state that a
//! checkpoint would have to keep.

use spec::order::mix;

/// What the counter goes up by: SplitMix64 (Steele, Lea and Flood 2014), whose finaliser is `mix`.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    counter: u64,
}

impl Random {
    /// The stream of `key`, from its start. Keys are hashes, so that streams do not overlap.
    pub(crate) fn new(key: u64) -> Random {
        Random { counter: key }
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        let bits = mix(self.counter);
        self.counter = self.counter.wrapping_add(STEP);
        bits
    }

    /// Uniform between 0 and 1, without either: (k + 1/2) / 2^52.
    pub(crate) fn uniform(&mut self) -> f64 {
        const WIDTH: f64 = 1.0 / (1_u64 << 52) as f64;
        ((self.bits() >> 12) as f64 + 0.5) * WIDTH
    }

    /// Uniform between two numbers.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform in 0..`places`, 0 where there are none; uneven by less than `places` / 2^64.
    pub(crate) fn below(&mut self, places: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(places)) >> 64) as u64
    }

    /// A toss of a coin.
    pub(crate) fn coin(&mut self) -> bool {
        self.bits() >> 63 == 1
    }

    /// Standard normal: sqrt(-2 ln u) cos(2 pi v) (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Logarithm of a number drawn from Gamma(`shape`, 1), for a positive `shape` (Marsaglia and Tsang 2000).
    ///
    /// A shape below 1 is drawn as Gamma(shape + 1) times u^(1 / shape), whose logarithm, unlike itself, does not round to
    /// nothing where the shape is small.
    pub(crate) fn ln_gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.ln_gamma(shape + 1.0) + self.uniform().ln() / shape;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.uniform().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d.ln() + v.ln();
            }
        }
    }

    /// Beta(`a`, `b`): x / (x + y) of x from Gamma(a) and y from Gamma(b). What is not positive counts as next to nothing,
    /// so that the number is then 0 or 1.
    pub(crate) fn beta(&mut self, a: f64, b: f64) -> f64 {
        // Both parameters are bounded, for the logarithms to stay numbers; what is not a number becomes the lower bound.
        let [a, b] = [a, b].map(|shape| shape.max(1e-300)).map(|shape| shape.min(1e300));
        let (x, y) = (self.ln_gamma(a), self.ln_gamma(b));
        1.0 / (1.0 + (y - x).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DRAWS: usize = 40_000;

    /// Mean and variance of many draws.
    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let draws: Vec<f64> = (0..DRAWS).map(|_| draw()).collect();
        let mean = draws.iter().sum::<f64>() / DRAWS as f64;
        (mean, draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / DRAWS as f64)
    }

    fn close(found: (f64, f64), expected: (f64, f64), kurtosis: f64) {
        let error = (expected.1 / DRAWS as f64).sqrt();
        assert!((found.0 - expected.0).abs() < 5.0 * error, "mean of {found:?}, expected {expected:?}");
        let error = expected.1 * ((kurtosis - 1.0) / DRAWS as f64).sqrt();
        assert!((found.1 - expected.1).abs() < 5.0 * error, "variance of {found:?}, expected {expected:?}");
    }

    #[test]
    fn distributions_have_their_mean_and_variance() {
        let mut random = Random::new(mix(1));
        close(moments(|| random.uniform()), (0.5, 1.0 / 12.0), 1.8);
        close(moments(|| random.below(6) as f64), (2.5, 35.0 / 12.0), 1.8);
        close(moments(|| f64::from(u8::from(random.coin()))), (0.5, 0.25), 1.1);
        close(moments(|| random.normal()), (0.0, 1.0), 3.0);
        for shape in [0.3, 1.0, 2.5, 40.0] {
            close(moments(|| random.ln_gamma(shape).exp()), (shape, shape), 3.0 + 6.0 / shape);
        }
    }

    #[test]
    fn beta_has_its_mean_and_variance() {
        let mut random = Random::new(mix(2));
        for (a, b) in [(0.2, 0.2), (1.0, 1.0), (0.4, 1.6), (3.0, 3.0), (200.0, 200.0)] {
            let sum: f64 = a + b;
            // No Beta has heavier tails than a normal distribution but where one parameter is far below the other.
            close(moments(|| random.beta(a, b)), (a / sum, a * b / (sum * sum * (sum + 1.0))), 4.0);
        }
    }

    proptest! {
        #[test]
        fn beta_is_a_share_whatever_is_asked_for(key: u64, a: f64, b: f64) {
            let share = Random::new(mix(key)).beta(a, b);
            prop_assert!((0.0..=1.0).contains(&share), "{share} of Beta({a}, {b})");
        }

        #[test]
        fn whole_numbers_stay_below(key: u64, places: u64) {
            let drawn = Random::new(mix(key)).below(places);
            prop_assert!(drawn < places.max(1));
        }
    }

    #[test]
    fn beta_of_what_is_no_number_is_a_share() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, f64::MIN_POSITIVE, f64::MAX];
        for (a, b) in odd.iter().flat_map(|a| odd.map(|b| (*a, b))) {
            let share = Random::new(mix(4)).beta(a, b);
            assert!((0.0..=1.0).contains(&share), "{share} of Beta({a}, {b})");
        }
    }

    #[test]
    fn the_extremes_of_beta() {
        let mut random = Random::new(mix(3));
        let mut ones = 0;
        for _ in 0..1000 {
            let share = random.beta(1e-200, 1e-200);
            assert!(share == 0.0 || share == 1.0, "a tiny parameter is the toss of a coin, not {share}");
            ones += u32::from(share == 1.0);
            assert!((random.beta(1e200, 1e200) - 0.5).abs() < 1e-6);
        }
        assert!((400..600).contains(&ones), "{ones} of 1000");
    }
}
