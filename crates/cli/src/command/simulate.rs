//! `scalelaw simulate`: a sweep whose runs only pretend to train, to try a sweep file, the tools and their fits.

use std::path::Path;

use sched::StateFolder;
use sched::launch::Simulated;
use spec::plan::Outcomes;
use spec::run::DeviceKind;
use spec::simulation::{Faults, Simulation, read_list};
use spec::trainer::Trainer;

use super::run;
use crate::args::Simulate;
use crate::exit::{Failure, say};
use crate::place::{Place, USUAL_FOLDER};
use crate::sweepfile::{self, Loaded};

pub(crate) async fn run(place: Place, options: &Simulate) -> Result<u8, Failure> {
    let mut loaded = sweepfile::load(&options.run.sweep)?;
    let usage = |option: &str, error: &dyn std::fmt::Display| Failure::usage(format!("{option} {error}"));
    Faults::read(&options.faults, options.seed).map_err(|error| usage("--faults", &error))?;
    let mut law = Simulation::around(middle(&loaded.sweep.lr));
    for (name, value) in read_list(&options.law, &Simulation::NAMES).map_err(|error| usage("--law", &error))? {
        law.set(&name, value);
    }
    loaded.sweep.trainer = Some(Trainer::Simulated { law });
    // Neither GPUs nor a cluster are needed to pretend; but one may want to see what a cluster does with a sweep.
    let resources = &mut loaded.sweep.resources;
    (resources.device, resources.gpus_per_run, resources.skip_busy_gpus) = (DeviceKind::Cpu, 1, false);
    resources.device_flops = None;
    if !options.on_cluster {
        loaded.sweep.slurm = None;
    }
    // Pretended results must never stand among real ones.
    let place = match place.state.path() == Path::new(USUAL_FOLDER) {
        true => Place { state: StateFolder::at(&Path::new(USUAL_FOLDER).join("simulated"), None), ..place },
        false => place,
    };
    let folder = place.state.path().display();
    let speed = match options.speed {
        Some(speed) => speed,
        None => usual_speed(&loaded, options)?,
    };
    let simulated = Simulated { speed, faults: options.faults.clone(), seed: options.seed };
    let code = run::go(&place, &options.run, &loaded, simulated).await?;
    say(&format!(
        "simulated; look at it with --state-dir {}, as in `scalelaw fit frontier {} --state-dir {}`",
        folder, loaded.sweep.name, folder
    ));
    Ok(code)
}

/// How long a simulation takes, faults aside, where nobody says how fast it is.
const USUAL_SECONDS: f64 = 10.0;

fn usual_speed(loaded: &Loaded, options: &Simulate) -> Result<f64, Failure> {
    let plan = loaded.plan(&loaded.facts()?, &Outcomes::new())?;
    let later = plan.waiting.iter().map(|waiting| waiting.runs as f64 * waiting.price.seconds);
    let seconds: f64 = plan.runs.iter().map(|run| run.price.seconds).chain(later).sum();
    let at_once = options.run.slots.or(loaded.sweep.resources.slots).map_or(run::cores(), |slots| slots as usize);
    Ok((seconds / at_once as f64 / USUAL_SECONDS).max(1.0))
}

/// The geometric middle of the learning rates of the grid.
fn middle(rates: &[f64]) -> f64 {
    match rates.len() {
        0 => 0.1,
        count => (rates.iter().map(|rate| rate.ln()).sum::<f64>() / count as f64).exp(),
    }
}
