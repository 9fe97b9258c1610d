//! Figures as bytes: typed numbers in, SVG, CSV, PNG and PDF out.
//!
//! The crate opens no file and reads no clock; the same figure is the same bytes everywhere. It knows nothing of runs,
//! sweeps or fits: whoever has points and laws puts them into [`ScalingFigure`] or [`OptimalLrFigure`].
//!
//! A figure is drawn in three steps: `frame` finds room for the axes, `labels` and `blocks` find free places for text,
//! and `scene` turns the result into an SVG. All text is measured with the font that [`png`] draws it in, which has the
//! metrics of Arial, so that nothing collides where another of these fonts is used.
//!
//! ```
//! use report::{Point, PointKind, ScalingFigure, Series, Style, Words, png};
//!
//! let run = |x, y, budget| Point { x, y, budget, kind: PointKind::Finished };
//! let figure = ScalingFigure {
//!     words: Words::axes("Training compute (FLOPs)", "Held-out loss (nats)"),
//!     series: vec![Series {
//!         name: "F0".to_owned(),
//!         points: vec![run(1e18, 2.98, Some(0.5)), run(2e18, 2.89, Some(1.0))],
//!         ..Series::default()
//!     }],
//!     ..ScalingFigure::default()
//! };
//! let svg = figure.svg(&Style::paper())?;
//! let picture = png(&svg, 4.0)?;
//! # assert!(picture.starts_with(b"\x89PNG"));
//! # Ok::<(), report::Error>(())
//! ```

mod blocks;
mod chart;
#[cfg(test)]
mod collisions;
mod csv;
mod curves;
mod document;
mod error;
mod frame;
mod geometry;
mod key;
mod labels;
mod law_draw;
mod layer;
#[cfg(test)]
mod layout_tests;
mod ledger;
mod lr;
mod lr_draw;
mod marks;
mod optimum;
mod palette;
mod pdf;
mod png;
mod profile;
mod reference_draw;
mod residuals;
mod scaling;
mod scaling_draw;
mod scene;
mod sheet;
mod style;
mod text;
mod ticks;
mod webfont;
mod words;

pub use curves::{Curve, CurveEnd, CurvesFigure};
pub use document::{Document, Part};
pub use error::Error;
pub use ledger::{Hours, LedgerDevice, LedgerFigure};
pub use lr::{Edge, LrPoint, LrSeries, OptimalLrFigure};
pub use optimum::{OptimumFigure, OptimumPoint, OptimumSeries};
pub use pdf::pdf;
pub use png::png;
pub use profile::{Profile, ProfileFigure, ProfileOptimum, ProfilePanel};
pub use residuals::{BackTest, Residual, ResidualPanel, ResidualSeries, ResidualsFigure};
pub use scaling::{Law, LawPoint, Point, PointKind, Reference, ScalingFigure, Series};
pub use sheet::{ContactSheet, Picture, SheetRow};
pub use style::Style;
pub use ticks::epochs_label;
pub use webfont::standalone;
pub use words::Words;
