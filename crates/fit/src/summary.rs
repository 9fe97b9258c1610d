//! What every fit of several parameters tells about itself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::regression::{Convergence, Fitted, Intervals, Model, Row};
use crate::{Estimate, Excluded, Quality};

/// The numbers of a fit, what went into them, and how far to trust them.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The parameters, and what follows from them.
    pub params: BTreeMap<&'static str, Estimate>,
    /// Rows of the points that were fitted, ascending.
    pub used: Vec<usize>,
    /// Rows that were not, and why, ascending.
    pub excluded: Vec<Excluded>,
    /// How well the law describes the used points.
    pub quality: Quality,
    /// What a reader of the numbers should know.
    pub warnings: Vec<String>,
    /// How the search ended.
    pub convergence: Convergence,
    /// Huber's delta, in units of ln loss; `None` for squares.
    pub delta: Option<f64>,
    /// Standard deviation of ln loss about the law.
    pub noise: f64,
    /// Where the intervals come from.
    pub intervals: Intervals,
}

impl Summary {
    /// Without parameters and warnings, which each law writes itself.
    pub(crate) fn of<const K: usize, M: Model<K>>(
        model: &M,
        rows: &[Row<M::Place>],
        fitted: &Fitted<K>,
        used: impl Iterator<Item = usize>,
        excluded: Vec<Excluded>,
    ) -> Summary {
        let observed: Vec<f64> = rows.iter().map(|row| row.v).collect();
        let described: Vec<f64> = rows.iter().map(|row| model.jet(&fitted.theta, &row.place).value.ln()).collect();
        let mut used: Vec<usize> = used.collect();
        used.sort_unstable();
        Summary {
            params: BTreeMap::new(),
            used,
            excluded,
            quality: Quality::of(&observed, &described),
            warnings: Vec::new(),
            convergence: fitted.convergence,
            delta: Some(fitted.delta).filter(|delta| delta.is_finite()),
            noise: fitted.scale,
            intervals: fitted.intervals,
        }
    }
}
