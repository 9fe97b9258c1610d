//! `scalelaw simulate`: a sweep whose runs only pretend to train, to try a sweep file, the tools and their fits.

use std::path::Path;

use sched::StateFolder;
use sched::launch::Simulated;
use spec::simulation::{Faults, Simulation, read_list};
use spec::trainer::Trainer;

use super::run;
use crate::args::Simulate;
use crate::exit::{Failure, say};
use crate::place::Place;
use crate::sweepfile;

/// Where runs happen if nobody says it.
const USUAL: &str = ".scalelaw";

pub(crate) async fn run(place: Place, options: &Simulate) -> Result<u8, Failure> {
    let mut loaded = sweepfile::load(&options.run.sweep)?;
    let usage = |option: &str, error: &dyn std::fmt::Display| Failure::usage(format!("{option} {error}"));
    Faults::read(&options.faults, options.seed).map_err(|error| usage("--faults", &error))?;
    let mut law = Simulation::around(middle(&loaded.sweep.lr));
    for (name, value) in read_list(&options.law, &Simulation::NAMES).map_err(|error| usage("--law", &error))? {
        law.set(&name, value);
    }
    loaded.sweep.trainer = Some(Trainer::Simulated { law });
    // Pretended results must never stand among real ones.
    let place = match place.state.path() == Path::new(USUAL) {
        true => Place { state: StateFolder::at(&Path::new(USUAL).join("simulated"), None), ..place },
        false => place,
    };
    let folder = place.state.path().display();
    let simulated = Simulated { speed: options.speed, faults: options.faults.clone(), seed: options.seed };
    let code = run::go(&place, &options.run, &loaded, simulated).await?;
    say(&format!(
        "simulated; look at it with --state-dir {}, as in `scalelaw fit frontier {} --state-dir {}`",
        folder, loaded.sweep.name, folder
    ));
    Ok(code)
}

/// The geometric middle of the learning rates of the grid.
fn middle(rates: &[f64]) -> f64 {
    match rates.len() {
        0 => 0.1,
        count => (rates.iter().map(|rate| rate.ln()).sum::<f64>() / count as f64).exp(),
    }
}
