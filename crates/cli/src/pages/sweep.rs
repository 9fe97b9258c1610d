//! The report of one sweep.

use report::{Document, Part};

use super::conclusions::{self, Conclusions};
use super::{Told, happened, heading, provenance};
use crate::args::Compute;
use crate::exit::Failure;
use crate::figure_file::Drawn;
use crate::place::Place;

/// The whole report, from the question to how to do it again.
pub(crate) fn document(place: &Place, told: &Told, drawn: &[Drawn], compute: Compute) -> Result<Document, Failure> {
    let conclusions = Conclusions::draw(place, told, compute)?;
    let counted = conclusions::flag(compute);
    let mut parts = vec![heading("Question"), happened::question(told)];
    parts.extend([heading("Answer"), Part::List(conclusions.in_short())]);
    parts.extend(happened::parts(told));
    parts.extend(figures(drawn));
    parts.extend(conclusions.fits());
    parts.extend(conclusions.predictions());
    parts.extend(record(told, &format!("scalelaw report {}{counted}", told.sweep.name)));
    Ok(Document { title: format!("Report of the sweep {}", told.sweep.name), parts })
}

/// What stands behind the conclusions on a sweep, on every page of it; `command` writes the page again.
pub(crate) fn record(told: &Told, command: &str) -> Vec<Part> {
    let mut parts = happened::certificates(told);
    parts.extend(happened::spent(told));
    parts.extend(provenance::parts(told));
    parts.extend(happened::runs(told));
    parts.extend([heading("Sweep file"), Part::Verbatim(told.source.clone())]);
    parts.extend(provenance::reproduce(told, command));
    parts
}

fn figures(drawn: &[Drawn]) -> Vec<Part> {
    let mut parts = vec![heading("Figures")];
    if drawn.is_empty() {
        parts.push(Part::Text("No run has a result yet.".to_owned()));
    }
    for (name, caption) in CAPTIONS {
        // Names end in the compute where that is not the usual one.
        let plain = |figure: &&Drawn| figure.name.trim_end_matches("-flops").trim_end_matches("-device-hours") == name;
        parts.extend(drawn.iter().filter(plain).map(|figure| Part::Figure {
            name: figure.name.clone(),
            svg: figure.svg.clone(),
            caption: caption.to_owned(),
        }));
    }
    parts
}

/// Figures in the order of the report, with what they show.
const CAPTIONS: [(&str, &str); 10] = [
    (
        "scaling",
        "Held-out loss against compute: of each model and epoch budget the best learning rate. The law of the frontier is solid \
         where it has data and dashed beyond, with its 95 % band.",
    ),
    ("transfer", "Top-1 error after fine-tuning against the compute of pre-training."),
    (
        "optimal-lr",
        "Optimal learning rate against epochs, with 95 % intervals; an arrow where the best rate is at the edge of the grid.",
    ),
    ("lr", "Held-out loss against learning rate for each model and epoch budget, with fitted parabolas and optima."),
    ("isoflop", "Held-out loss against model size at equal compute."),
    ("size-vs-compute", "The best model size against compute."),
    ("epochs-vs-compute", "The best number of epochs against compute."),
    ("residuals", "Distance of each best run from the law of the frontier."),
    ("curves", "Training and held-out loss against samples of the best run of each model."),
    ("ledger", "Device hours by use, of every device and day."),
];
