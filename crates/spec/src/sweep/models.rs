//! The `[model]` table, or several of them: one family each.

use super::read::read_rates;
use super::{Model, custom, nfnets, vits};
use crate::document::{Node, Value};
use crate::fields::{Fields, Problems};

#[derive(Clone, Copy)]
enum Family {
    Nfnet,
    Vit,
    Custom,
}

const FAMILIES: [(&str, Family); 3] = [("nfnet", Family::Nfnet), ("vit", Family::Vit), ("custom", Family::Custom)];

/// Reads all models of a sweep.
pub(crate) fn read(node: Option<&Node>, problems: &mut Problems) -> Vec<Model> {
    let models = match node {
        None => Vec::new(),
        Some(Node { value: Value::List(tables), .. }) => {
            let tables = tables.iter().enumerate();
            tables.flat_map(|(index, node)| read_family(node, &format!("model[{index}]"), problems)).collect()
        }
        Some(node) => read_family(node, "model", problems),
    };
    refuse_repeats(&models, problems);
    models
}

fn read_family(node: &Node, path: &str, problems: &mut Problems) -> Vec<Model> {
    // Which keys are allowed depends on the family, so it is read before all others.
    let fields = Fields::unchecked(node, path);
    fields.require("family", "\"nfnet\", \"vit\" or \"custom\"", problems);
    let mut models = match fields.word("family", &FAMILIES, problems) {
        Some(Family::Nfnet) => nfnets::read(node, path, problems),
        Some(Family::Vit) => vits::read(node, path, problems),
        Some(Family::Custom) => custom::read(node, path, problems),
        None => return Vec::new(),
    };
    // Families are tuned at different learning rates, so a table may have its own.
    let lr = read_rates(&fields, "lr", problems);
    let finetune_lr = read_rates(&fields, "finetune_lr", problems);
    for model in &mut models {
        model.lr.clone_from(&lr);
        model.finetune_lr.clone_from(&finetune_lr);
    }
    models
}

fn refuse_repeats(models: &[Model], problems: &mut Problems) {
    for (index, model) in models.iter().enumerate() {
        if model.name.trim().is_empty() {
            problems.add(model.place, "model: a model needs a name, which figures and tables call it by");
        }
        for other in &models[..index] {
            if other.name == model.name {
                problems.add(model.place, format!("model: two models are named {:?}", model.name));
            } else if other.spec == model.spec {
                let message = format!("model: {:?} is the same network as {:?}", model.name, other.name);
                problems.add(model.place, message);
            }
        }
    }
}
