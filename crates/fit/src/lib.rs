//! Numbers in, laws out: power laws, the frontier, the optimal learning rate, each with its interval or a refusal.
//!
//! This crate knows floats, not runs. It opens no files and reads no clock; the only randomness is a generator seeded
//! by [`Settings`], so the same points give the same law, in whatever order they come.
//!
//! Three promises hold for every fit here. No number comes without its 95 % interval ([`Estimate`]). A point that was
//! not used is listed with its reason ([`Excluded`]). And when the data cannot carry the fit, the answer is a
//! [`Refusal`] that says why and which runs would mend it.

mod allocate;
mod backtest;
mod band;
mod choose;
mod claims;
mod compare;
mod curve;
mod dense;
mod design;
mod frontier;
mod frontier_law;
mod grid;
mod growth;
mod huber;
mod interval;
mod isoflop;
mod law;
mod lr_law;
mod newton;
mod noise;
mod optimum;
mod parametric;
mod power;
mod profile;
mod random;
mod refusal;
mod regression;
mod repeated;
mod saturating;
mod sensitivity;
mod shapes;
mod solve;
mod stat;
mod summary;
mod trend;
mod types;

pub use allocate::{Allocation, EpochAllocation};
pub use backtest::{Backtest, Miss, Step, backtest_curve, backtest_repeated, backtest_surface};
pub use choose::{Candidate, Choice, SurfaceForm, choose_curve, choose_surface};
pub use claims::{
    Claim, TriedCell, Verdict, common_at_small_budgets, faster_for_larger, slow_monotone_fall, two_trials_suffice,
};
pub use compare::{AtEqual, Comparison, Factor, Lower, compare};
pub use curve::{CurveFit, CurveForm, CurveSettings, curve};
pub use design::{Goal, PossibleRun, Suggested, Suggestion};
pub use frontier::{Frontier, FrontierPoint, RunPoint, frontier};
pub use frontier_law::frontier_law;
pub use growth::{Growth, growth};
pub use isoflop::{Bias, IsoPoint, IsoSettings, Isoflop, Valley, isoflop};
pub use law::{Form, LawFit, not_positive};
pub use lr_law::{LrLaw, LrPoint, LrTrend, lr_law, lr_law_with};
pub use noise::{NOISE_FLOOR, SeedNoise, seed_noise};
pub use optimum::{Optimum, Side, Trial, optimal_lr};
pub use parametric::{SurfaceFit, SurfacePoint, SurfaceSettings, parametric};
pub use power::power;
pub use refusal::Refusal;
pub use regression::{Convergence, Intervals, Loss};
pub use repeated::{RepeatedFit, repeated};
pub use saturating::saturating;
pub use sensitivity::{Variant, sensitivity_curve, sensitivity_isoflop, sensitivity_surface};
pub use summary::Summary;
pub use trend::Trend;
pub use types::{Estimate, Excluded, Point, Quality, Settings};
