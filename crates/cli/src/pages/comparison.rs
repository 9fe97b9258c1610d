//! The page of two sweeps, or of the two families of one, at equal compute.

use fit::{AtEqual, Comparison, Factor, Lower};
use report::{Document, Part};
use spec::run::short;

use super::conclusions::Conclusions;
use super::sides::{Compared, Sides};
use super::{Told, happened, heading, sweep, table};
use crate::answer::{equation, interval};
use crate::args::Stage;
use crate::command::table::{count, si};
use crate::exit::Failure;
use crate::figure_file::Drawn;
use crate::frontiers::FamilyLaw;
use crate::place::Place;

/// The page; `command` writes it again.
pub(crate) fn document(
    place: &Place,
    told: &[Told],
    sides: &Sides,
    warnings: &[String],
    drawn: &[Drawn],
    command: &str,
) -> Result<Document, Failure> {
    let [one, other] = &sides.names;
    let mut questions: Vec<Part> = told.iter().map(happened::question).collect();
    questions.dedup();
    let mut parts = vec![heading("Question")];
    parts.extend(questions);
    parts.push(heading("Answer"));
    // What makes it no answer comes first.
    if !warnings.is_empty() {
        parts.push(Part::List(warnings.iter().map(|warning| format!("Warning: {warning}.")).collect()));
    }
    parts.push(Part::List(in_short(sides)));
    parts.push(heading("At equal compute"));
    for compared in &sides.stages {
        parts.extend(of_stage(compared, [one, other]));
        let name = if compared.stage == Stage::Pretraining { "scaling" } else { "transfer" };
        parts.extend(drawn.iter().filter(|figure| figure.name.starts_with(name)).map(|figure| Part::Figure {
            name: figure.name.clone(),
            svg: figure.svg.clone(),
            caption: format!(
                "{} of {one} and {other} against compute: of each model and epoch budget the best learning rate, and the law of each \
                 frontier that surely falls, with its 95 % band.",
                capital(measured(compared.stage))
            ),
        }));
    }
    for told in told {
        let conclusions = Conclusions::draw(place, told, sides.compute)?;
        let mut own = happened::parts(told);
        own.extend(conclusions.fits());
        own.extend(sweep::record(told, command));
        let whose = sides.names.contains(&told.sweep.name);
        parts.extend(own.into_iter().map(|part| match part {
            Part::Heading(text) if whose => Part::Heading(format!("{}: {text}", told.sweep.name)),
            part => part,
        }));
    }
    Ok(Document { title: format!("{one} against {other}"), parts })
}

/// The answers, one line each.
pub(crate) fn in_short(sides: &Sides) -> Vec<String> {
    let [one, other] = &sides.names;
    if sides.stages.is_empty() {
        return vec![format!("There are no finished runs of both {one} and {other} yet.")];
    }
    let answers = |compared: &Compared| match &compared.found {
        _ if compared.incomparable.is_some() => {
            compared.incomparable.iter().map(|why| format!("No answer: {why}.")).collect()
        }
        Ok(found) => sentences(found, measured(compared.stage), [one, other]),
        Err(refusal) => {
            let without = compared.laws.iter().find(|law| law.found.is_err());
            let of = without.map_or(String::new(), |law| format!(", for {} has no law", law.family));
            let what = measured(compared.stage);
            let mend = refusal.mend();
            vec![format!("The lowest {what} cannot be compared at equal compute{of}: {refusal}. To mend it: {mend}.")]
        }
    };
    sides.stages.iter().flat_map(answers).collect()
}

/// What is measured, in a few words.
fn measured(stage: Stage) -> &'static str {
    match stage {
        Stage::Pretraining => "held-out loss",
        Stage::Finetuning => "top-1 error after fine-tuning",
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

fn sentences(found: &Comparison, what: &str, [one, other]: [&str; 2]) -> Vec<String> {
    let verdict = match found.lower {
        Lower::One => format!("{one} has the lower {what} wherever both were trained"),
        Lower::Other => format!("{other} has the lower {what} wherever both were trained"),
        Lower::OneInPlaces => format!("{one} has the lower {what} at some computes, and {other} surely at none"),
        Lower::OtherInPlaces => format!("{other} has the lower {what} at some computes, and {one} surely at none"),
        Lower::Cross => format!("the {what} of {one} is the lower one at some computes, and that of {other} at others"),
        Lower::CannotTell => format!("{one} and {other} cannot be told apart by {what} where both were trained"),
    };
    let middle = &found.at[found.at.len() / 2];
    let certain = if middle.ratio.low <= 1.0 && middle.ratio.high >= 1.0 { ", which may be none" } else { "" };
    let mut lines = vec![
        format!(
            "By the laws of their frontiers {verdict} (C from {} to {}, 95 % confidence).",
            amount(found.range.0),
            amount(found.range.1)
        ),
        format!(
            "At C = {}, in the middle, that of {other} differs from that of {one} by {}{certain}.",
            amount(middle.compute),
            percent(middle)
        ),
    ];
    lines.push(match middle.factor {
        Factor::Below => {
            format!("What {one} reaches there {other} reaches with less than a ten-thousandth of the compute.")
        }
        Factor::Above => {
            format!("What {one} reaches there {other} does not reach with ten thousand times the compute.")
        }
        Factor::At { beyond, .. } => {
            let beyond =
                if beyond { format!(", beyond the runs of {other}, if its law goes on") } else { String::new() };
            format!(
                "To reach what {one} reaches there, {other} needs {} times the compute{beyond}.",
                times(&middle.factor)
            )
        }
    });
    let exponents = &found.exponents;
    let faster = if exponents.low > 0.0 {
        format!("that of {other} falls faster")
    } else if exponents.high < 0.0 {
        format!("that of {other} falls more slowly")
    } else {
        "no difference is certain".to_owned()
    };
    lines.push(format!("Exponent of {other} less that of {one}: {}: {faster}.", interval(exponents)));
    lines
}

fn of_stage(compared: &Compared, [one, other]: [&str; 2]) -> Vec<Part> {
    let law = |law: &FamilyLaw| match &law.found {
        Ok((frontier, fitted)) => {
            let alpha = fitted.params.get("alpha").map(interval).unwrap_or_default();
            let drawn = if law.law().is_none() { "; the exponent may be 0, so it is not drawn" } else { "" };
            let points = count(frontier.pareto.len(), "point");
            format!("{}: {}, exponent {alpha}, from {points} of its frontier{drawn}.", law.family, equation(fitted))
        }
        Err(refusal) => format!("{}: no law: {refusal}. To mend it: {}.", law.family, refusal.mend()),
    };
    let (compute, loss) = (&compared.axes.compute, &compared.axes.loss);
    let mut parts = vec![
        Part::Text(format!("C: {compute}; L: {loss}; intervals are 95 %, each for itself.")),
        Part::List(compared.laws.iter().map(law).collect()),
    ];
    if let Ok(found) = &compared.found {
        let row = |at: &AtEqual| {
            vec![amount(at.compute), interval(&at.one), interval(&at.other), percent(at), times(&at.factor)]
        };
        let (difference, needs) = (format!("{other} against {one}"), format!("times the compute {other} needs"));
        parts.push(table(&["C", one, other, &difference, &needs], found.at.iter().map(row).collect()));
        if found.at.iter().any(|at| matches!(at.factor, Factor::At { beyond: true, .. })) {
            parts.push(Part::Text(format!(
                "(e): so much compute is beyond the runs of {other}; its law is extrapolated."
            )));
        }
    }
    if !compared.doubts.is_empty() {
        parts.push(Part::List(compared.doubts.iter().map(|doubt| format!("Warning: {doubt}.")).collect()));
    }
    parts
}

/// Compute: operations are many, hours may be few.
fn amount(compute: f64) -> String {
    if compute >= 1000.0 { si(compute) } else { short(compute) }
}

/// The difference in percent of the first.
fn percent(at: &AtEqual) -> String {
    let of = |ratio: f64| 100.0 * (ratio - 1.0);
    format!("{:+.2} % [{:+.2}, {:+.2}]", of(at.ratio.value), of(at.ratio.low), of(at.ratio.high))
}

/// A factor of compute, marked where it leads beyond the runs.
fn times(factor: &Factor) -> String {
    match factor {
        Factor::Below => "under 0.0001".to_owned(),
        Factor::Above => "over 10,000, if ever".to_owned(),
        Factor::At { value, low, high, beyond } => {
            let low = low.map_or("under 0.0001".to_owned(), short);
            let high = high.map_or("over 10,000".to_owned(), short);
            format!("{} [{low}, {high}]{}", short(*value), if *beyond { " (e)" } else { "" })
        }
    }
}

#[cfg(test)]
mod tests {
    use fit::Estimate;

    use super::*;

    fn at(compute: f64, ratio: [f64; 3], factor: Factor) -> AtEqual {
        let [low, value, high] = ratio;
        let law = Estimate { value: 1.0, low: 0.9, high: 1.1 };
        AtEqual { compute, one: law, other: law, ratio: Estimate { value, low, high }, factor }
    }

    #[test]
    fn answers_say_what_was_found_and_no_more() {
        let beyond = Factor::At { value: 0.001_234_5, low: None, high: Some(2.5), beyond: true };
        let mut found = Comparison {
            range: (1e9, 1e12),
            at: vec![at(3e10, [0.9, 0.95, 1.01], beyond)],
            exponents: Estimate { value: 0.01, low: 0.005, high: 0.02 },
            lower: Lower::CannotTell,
        };
        let said = sentences(&found, "held-out loss", ["A", "B"]).join("\n");
        for part in [
            "A and B cannot be told apart by held-out loss",
            "from 1.00G to 1.00T",
            "that of B differs from that of A by -5.00 % [-10.00, +1.00], which may be none.",
            "B needs 0.001234 [under 0.0001, 2.5] (e) times the compute, beyond the runs of B, if its law goes on.",
            "Exponent of B less that of A: 0.0100 [0.0050, 0.0200]: that of B falls faster.",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        found.at[0].factor = Factor::Above;
        found.lower = Lower::OneInPlaces;
        let said = sentences(&found, "held-out loss", ["A", "B"]).join("\n");
        assert!(
            said.contains("B does not reach with ten thousand times") && said.contains("B surely at none"),
            "{said}"
        );
    }
}
