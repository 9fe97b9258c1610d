//! `scalelaw data head`: a contact sheet of some examples, as they are evaluated and as they are trained on.

use data::batch::{self, Batch, Recipe};
use data::crew::Crew;
use data::{Label, Split};
use report::{ContactSheet, Picture, SheetRow};
use serde_json::json;
use spec::run::Augment;

use super::super::table::grouped;
use super::chosen::Chosen;
use crate::args::{Head, Part};
use crate::exit::{Failure, print};
use crate::place::Place;
use crate::write::atomically;

pub(crate) fn run(place: &Place, options: &Head) -> Result<u8, Failure> {
    let chosen = Chosen::open(&options.chosen)?;
    let (recipe, of_sweep) = (chosen.recipe_at(options.resolution), chosen.recipe.is_some());
    let Chosen { name, dataset, order, .. } = chosen;
    let split = match options.part {
        Part::Train => &dataset.train,
        Part::Heldout => &dataset.heldout,
    };
    let order = order.filter(|_| options.part == Part::Train);
    let count = u64::from(options.count).min(split.len());
    let from = options.from.unwrap_or(0);
    if from >= split.len() {
        return Err(Failure::usage(format!("--from {from}: there are {} examples, from 0 on", split.len())));
    }
    let ids: Vec<u64> = match (&order, options.from) {
        (Some(order), None) => (0..count).map(|position| order.in_epoch(0, position)).collect(),
        _ => (from..(from + count).min(split.len())).collect(),
    };
    let crew = Crew::of(super::super::run::cores())
        .map_err(|error| Failure::environment(format!("starting threads: {error}")))?;
    let still = Recipe { augment: Augment::NONE, ..recipe };
    let mut columns = vec![column(split, &ids, &batch::versions(split, &still, &ids, 0, &crew)?)];
    for epoch in 0..u64::from(options.versions) {
        columns.push(column(split, &ids, &batch::versions(split, &recipe, &ids, epoch, &crew)?));
    }
    let rows: Result<Vec<SheetRow>, Failure> = ids
        .iter()
        .enumerate()
        .map(|(row, id)| {
            let pictures: Vec<Option<Picture>> = columns.iter_mut().map(|column| column[row].take()).collect();
            let damaged = if pictures[0].is_none() { ", damaged" } else { "" };
            let classes = classes(&split.label(*id)?, &dataset.class_names);
            let mut caption = vec![format!("{id}: {classes}{damaged}")];
            if split.is_encoded() {
                caption.push(split.name(*id)?);
            }
            Ok(SheetRow { caption, pictures })
        })
        .collect();
    let mixed = if recipe.augment.mixing.is_some() { "; mixing is not shown" } else { "" };
    let title = if of_sweep { format!("{name}, as its runs see it{mixed}") } else { name.clone() };
    let epochs = (0..options.versions).map(|epoch| format!("epoch {epoch}"));
    let columns = std::iter::once("evaluated".to_owned()).chain(epochs).collect();
    let sheet = ContactSheet { title, columns, rows: rows? };
    atomically(&options.out, &sheet.png()?)?;
    let shown = ids.len() as u64;
    print(&if place.json {
        json!({"schema_version": 1, "dataset": name, "file": options.out, "examples": ids}).to_string()
    } else {
        format!("{}: {} examples of {name}", options.out.display(), grouped(shown))
    });
    Ok(0)
}

/// The pictures of a batch by the place of their ids; `None` for damaged ones.
fn column(split: &Split, ids: &[u64], batch: &Batch) -> Vec<Option<Picture>> {
    let (side, channels) = (batch.shape.side, split.channels());
    let plane = side * side;
    let mut pictures = batch.pixels.chunks_exact(batch.shape.bytes()).zip(&batch.ids).peekable();
    let picture = |pixels: &[u8]| Picture {
        pixels: (0..plane).map(|at| [0, 1, 2].map(|channel| pixels[channel.min(channels - 1) * plane + at])).collect(),
        side,
    };
    ids.iter().map(|id| pictures.next_if(|(_, found)| *found == id).map(|(pixels, _)| picture(pixels))).collect()
}

fn classes(label: &Label, names: &[String]) -> String {
    let name = |class: &u32| names.get(*class as usize).map_or_else(|| class.to_string(), Clone::clone);
    match label {
        Label::One(class) => name(class),
        Label::Many(classes) if classes.is_empty() => "no class".to_owned(),
        Label::Many(classes) => classes.iter().map(name).collect::<Vec<_>>().join(", "),
    }
}
