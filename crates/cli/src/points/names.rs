//! Which column of a file is what: as the flags say, by the usual name, or by a name that is well known for it.

use spec::suggestion;

use super::Needs;
use crate::args::Columns;

/// Places of columns, and what has to be said of them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) compute: Option<usize>,
    pub(super) loss: Option<usize>,
    pub(super) lr: Option<usize>,
    pub(super) epochs: Option<usize>,
    pub(super) model: Option<usize>,
    pub(super) family: Option<usize>,
    pub(super) params: Option<usize>,
    pub(super) samples: Option<usize>,
    pub(super) seed: Option<usize>,
    /// Which columns were taken by names that are not the usual ones, and which were not because several could be it.
    pub(super) said: Vec<String>,
}

// Well-known names, as `plain` has them: those of our own exports, of Chinchilla's data and the scripts that fit them, of nanochat, of
// Marin, and what trainers call them.
const OPERATIONS: [&str; 10] = [
    "c",
    "flop",
    "flops",
    "total_flops",
    "train_flops",
    "training_flop",
    "training_flops",
    "compute_flops",
    "flops_budget",
    "flops_exact",
];
/// Computes as well, which are never mixed with the others: where a file has both, one has to be named.
const HOURS: [&str; 4] = ["train_hours", FITTED_HOURS, DEVICE_HOURS, "gpu_hours"];
/// What our own fits of device hours use, in exports that have it beside what was billed to the run itself.
const FITTED_HOURS: &str = "fitted_device_hours";
const DEVICE_HOURS: &str = "device_hours";
const LOSSES: [&str; 9] = [
    "heldout_loss_nats",
    "heldout_loss",
    "held_out_loss",
    "val_loss",
    "valid_loss",
    "validation_loss",
    "eval_loss",
    "test_loss",
    "val_bpb",
];
const RATES: [&str; 5] = ["learning_rate", "lr_peak", "peak_lr", "max_lr", "peak_learning_rate"];
const EPOCHS: [&str; 2] = ["epoch", "num_epochs"];
const MODELS: [&str; 1] = ["model_name"];
const PARAMETERS: [&str; 11] = [
    "n",
    "n_total",
    "model_size",
    "parameters",
    "n_params",
    "num_params",
    "params_total",
    "total_params",
    "n_parameters",
    "num_parameters",
    "parameter_count",
];
const SAMPLES: [&str; 9] = [
    "d",
    "tokens",
    "training_tokens",
    "train_tokens",
    "tokens_trained",
    "tokens_seen",
    "n_tokens",
    "num_tokens",
    "samples_seen",
];

/// What becomes of a flag whose column is not there, where it is not needed either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// A mistake: the flags are for this file.
    Refused,
    /// The flags are for another file.
    Said,
}

/// Finds the columns that a law or figure needs, and those that it can use, among these names.
pub(super) fn find(columns: &Columns, needs: Needs, absent: Absent, names: &[String]) -> Result<Found, String> {
    let given = [
        &columns.compute_column,
        &columns.loss_column,
        &columns.lr_column,
        &columns.epochs_column,
        &columns.model_column,
        &columns.family_column,
        &columns.params_column,
        &columns.samples_column,
    ];
    let given = given.into_iter().flatten().map(String::as_str).collect();
    let mut search = Search { names, given, absent, taken: Vec::new(), said: Vec::new() };
    let (wide, rates) = (needs == Needs::SizeAndLoss, matches!(needs, Needs::LrAndLoss | Needs::LrAndEpochs));
    // Laws of size and samples count in operations.
    let computes: Vec<&str> = OPERATIONS.into_iter().chain(HOURS.into_iter().filter(|_| !wide)).collect();
    let mut find = |usual: &str, given: &Option<String>, known: &[&str], needed: bool| {
        search.find(usual, given.as_deref(), known, needed)
    };
    let compute = find("compute", &columns.compute_column, &computes, needs == Needs::ComputeAndLoss)?;
    let mut found = Found {
        compute,
        loss: find("loss", &columns.loss_column, &LOSSES, needs != Needs::LrAndEpochs)?,
        lr: find("lr", &columns.lr_column, &RATES, rates)?,
        epochs: find("epochs", &columns.epochs_column, &EPOCHS, needs == Needs::LrAndEpochs)?,
        model: find("model", &columns.model_column, &MODELS, false)?,
        family: find("family", &columns.family_column, &[], false)?,
        params: find("params", &columns.params_column, &PARAMETERS, wide)?,
        samples: find("samples", &columns.samples_column, &SAMPLES, wide && compute.is_none())?,
        seed: find("seed", &None, &[], false)?,
        said: Vec::new(),
    };
    if !search.taken.is_empty() {
        found.said.push(format!("took {}", search.taken.join(", ")));
    }
    found.said.extend(search.said);
    Ok(found)
}

struct Search<'a> {
    names: &'a [String],
    /// Names that flags give: what they are is known.
    given: Vec<&'a str>,
    absent: Absent,
    taken: Vec<String>,
    said: Vec<String>,
}

impl Search<'_> {
    fn find(
        &mut self,
        usual: &str,
        given: Option<&str>,
        known: &[&str],
        needed: bool,
    ) -> Result<Option<usize>, String> {
        let exact = given.unwrap_or(usual);
        if let Some(at) = self.names.iter().position(|name| name == exact) {
            return Ok(Some(at));
        }
        if given.is_some() {
            if needed || self.absent == Absent::Refused {
                return Err(self.missing(exact, usual));
            }
            self.said.push(format!("no {usual}, for there is no column {exact:?} (--{usual}-column)"));
            return Ok(None);
        }
        let as_known = |at: &usize| {
            let plain = plain(&self.names[*at]);
            [usual].iter().chain(known).position(|name| *name == plain)
        };
        let free = |at: &usize| !self.given.contains(&self.names[*at].as_str());
        let mut could_be: Vec<usize> = (0..self.names.len()).filter(free).filter(|at| as_known(at).is_some()).collect();
        could_be.sort_by_key(as_known);
        if could_be.iter().any(|at| self.names[*at] == FITTED_HOURS) {
            could_be.retain(|at| self.names[*at] != DEVICE_HOURS);
        }
        let listed = || either(could_be.iter().map(|at| self.names[*at].as_str()));
        match could_be[..] {
            [] if needed => Err(self.missing(exact, usual)),
            [] => Ok(None),
            [at] => {
                self.taken.push(format!("{} for {usual}", self.names[at]));
                Ok(Some(at))
            }
            _ if needed => Err(format!("the {usual} could be {}; --{usual}-column says which it is", listed())),
            _ => {
                self.said.push(format!("no {usual}, which could be {} (--{usual}-column says which)", listed()));
                Ok(None)
            }
        }
    }

    fn missing(&self, name: &str, usual: &str) -> String {
        let there: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let remedy = match there[..] {
            [] => "; the file is empty".to_owned(),
            _ => format!("; --{usual}-column says which it is{}", suggestion(name, &there)),
        };
        format!("no column {name:?}{remedy}")
    }
}

/// `a, b or c`.
fn either<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        _ => names.concat(),
    }
}

/// A name without what differs between tables of the same: `Training FLOP (6ND)` is `training_flop_6nd`.
fn plain(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        Columns {
            points: None,
            compute_column: None,
            loss_column: None,
            lr_column: None,
            epochs_column: None,
            model_column: None,
            family_column: None,
            params_column: None,
            samples_column: None,
        }
    }

    fn found(columns: &Columns, needs: Needs, names: &[&str]) -> Result<Found, String> {
        find(columns, needs, Absent::Refused, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn usual_names_need_no_word() {
        let names = ["seed", "samples", "params", "model", "epochs", "lr", "loss", "compute", "flops", "val_loss"];
        let found = found(&columns(), Needs::ComputeAndLoss, &names).expect("all there");
        assert_eq!((found.compute, found.loss, found.seed, found.said), (Some(7), Some(6), Some(0), vec![]));
    }

    #[test]
    fn well_known_names_are_taken_and_said() {
        let chinchilla = ["Model Size", "Training Tokens", "Training FLOP", "loss"];
        let found = found(&columns(), Needs::SizeAndLoss, &chinchilla).expect("known");
        assert_eq!((found.params, found.samples, found.compute, found.loss), (Some(0), Some(1), Some(2), Some(3)));
        let said = "took Training FLOP for compute, Model Size for params, Training Tokens for samples";
        assert_eq!(found.said, [said]);
    }

    #[test]
    fn what_could_be_several_is_asked_for_where_it_is_needed_and_left_out_elsewhere() {
        let export = ["training_flops", "train_hours", "device_hours", "heldout_loss_nats", "n_total", "samples", "lr"];
        let refused = found(&columns(), Needs::ComputeAndLoss, &export).expect_err("three computes");
        let asked =
            "the compute could be training_flops, train_hours or device_hours; --compute-column says which it is";
        assert_eq!(refused, asked);
        let rates = found(&columns(), Needs::LrAndLoss, &export).expect("no compute needed");
        assert_eq!((rates.compute, rates.lr), (None, Some(6)));
        assert!(rates.said[1].starts_with("no compute, which could be"), "{:?}", rates.said);
        let wide = found(&columns(), Needs::SizeAndLoss, &export).expect("operations");
        assert_eq!(wide.compute, Some(0));
        let hours = ["device_hours", "fitted_device_hours", "heldout_loss_nats"];
        assert_eq!(found(&columns(), Needs::ComputeAndLoss, &hours).map(|found| found.compute), Ok(Some(1)));
    }

    #[test]
    fn a_flag_wins_and_its_column_is_nothing_else() {
        let columns = Columns { loss_column: Some("C".to_owned()), ..columns() };
        let found = found(&columns, Needs::SizeAndLoss, &["C", "N", "D"]).expect("enough");
        assert_eq!((found.loss, found.compute, found.params), (Some(0), None, Some(1)));
    }

    #[test]
    fn a_flag_without_its_column_is_a_mistake_but_where_it_is_for_another_file() {
        let columns = Columns { family_column: Some("knd".to_owned()), ..columns() };
        let names = ["compute", "loss", "kind"];
        let refused =
            "no column \"knd\"; --family-column says which it is; did you mean kind? (allowed: compute, loss, kind)";
        assert_eq!(found(&columns, Needs::ComputeAndLoss, &names), Err(refused.to_owned()));
        let names = names.map(str::to_owned);
        let found = find(&columns, Needs::ComputeAndLoss, Absent::Said, &names).expect("not needed");
        assert_eq!(found.family, None);
        assert_eq!(found.said, ["no family, for there is no column \"knd\" (--family-column)"]);
    }

    #[test]
    fn what_is_missing_is_said_with_its_flag() {
        let missing = |names: &[&str]| found(&columns(), Needs::ComputeAndLoss, names).expect_err("no compute");
        assert!(missing(&["los", "speed"]).starts_with("no column \"compute\"; --compute-column says which it is"));
        assert_eq!(missing(&[]), "no column \"compute\"; the file is empty");
    }
}
