//! `scalelaw fit`: a law with its intervals, or a refusal that says what would mend it.

use store::Store;

use crate::answer::law_name;
use crate::args::{Compute, Fit, Law};
use crate::exit::{Failure, NO_FIT, print, say};
use crate::growth::now_ms;
use crate::laws::{self, Answer};
use crate::place::{self, Place};
use crate::points::{self, Needs, Points};
use crate::samples;

pub(crate) async fn run(place: &Place, options: &Fit) -> Result<u8, Failure> {
    refuse_idle(options)?;
    let needs = match options.law {
        Law::Lr => Needs::LrAndLoss,
        Law::Isoflop | Law::Parametric | Law::Repeated => Needs::SizeAndLoss,
        _ => Needs::ComputeAndLoss,
    };
    let wide = needs == Needs::SizeAndLoss || options.law == Law::Auto;
    let compute = options.compute.unwrap_or(if wide { Compute::Flops } else { Compute::TrainHours });
    if let Some(points) = points::of_file(&options.columns, needs)? {
        let otherwise = options.sensitivity.then(Vec::new);
        let answer = laws::fit_law(options.law, &points.runs, &options.how, otherwise.as_ref());
        return Ok(show(place, options.law, &answer, &points));
    }
    let store = place.read().await?;
    let sweep = place.choose(&store, options.chosen.sweep.as_deref()).await?;
    let rows = place::rows(place, &store, sweep.sweep_id, &options.together.with).await?;
    let verdicts = samples::verdicts(&store, &rows).await?;
    let points = points::of_sweep(&rows, &verdicts, compute, options.stage);
    store.close().await;
    let of_sizes = needs == Needs::SizeAndLoss;
    let otherwise = options.sensitivity.then(|| points::otherwise(&rows, &points, compute, of_sizes));
    let answer = laws::fit_law(options.law, &points.runs, &options.how, otherwise.as_ref());
    if options.together.with.is_empty() {
        keep(place, sweep.sweep_id, options, compute, &answer, &points).await;
    }
    Ok(show(place, options.law, &answer, &points))
}

/// Refuses options that would change nothing.
fn refuse_idle(options: &Fit) -> Result<(), Failure> {
    let how = &options.how;
    let (law, robust) = (law_name(options.law), how.huber_delta.is_some() || how.end_weight != 0.0);
    let squares = matches!(options.law, Law::Power | Law::Saturating | Law::Frontier) && !robust;
    let idle = match options.law {
        _ if options.columns.points.is_some() && !options.together.with.is_empty() => {
            "--with adds a sweep to a sweep: it has no effect on --points".to_owned()
        }
        Law::Lr | Law::Auto if options.sensitivity => format!("--sensitivity has no table for {law}"),
        Law::Lr | Law::Auto | Law::Isoflop if how.intervals.is_some() => {
            format!("--intervals has no effect on {law}")
        }
        _ if squares && how.intervals.is_some() => {
            format!(
                "--intervals has no effect on {law} by least squares, whose intervals are the widest of several; give --huber-delta too"
            )
        }
        _ => return Ok(()),
    };
    Err(Failure::usage(idle))
}

fn show(place: &Place, law: Law, answer: &Answer, points: &Points) -> u8 {
    print(&if place.json { answer.as_json(law, points).to_string() } else { answer.as_text(points) });
    if answer.is_refusal() { NO_FIT } else { 0 }
}

/// Keeps the fit in the database, unless a scheduler is writing there: the fit can be made again at any time.
async fn keep(place: &Place, sweep: i64, options: &Fit, compute: Compute, answer: &Answer, points: &Points) {
    if answer.is_refusal() {
        return;
    }
    let Ok(_lock) = place.state.lock() else { return };
    let kept = async {
        let store = Store::open(&place.state.database()).await?;
        let law = format!("{} of {:?}, {:?}", law_name(options.law), compute, options.stage);
        let result = answer.as_json(options.law, points).to_string();
        store.save_fit(sweep, &law, &laws::points_hash(&points.runs), &result, now_ms()).await?;
        store.close().await;
        Ok::<(), store::StoreError>(())
    };
    if let Err(error) = kept.await {
        say(&format!("the fit was not kept: {error}"));
    }
}
