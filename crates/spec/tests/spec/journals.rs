//! The form of the journal, as its JSON Schema tells it to those who write a trainer.

use serde_json::{Value, json};
use spec::journal::{Event, Finished, Line, Usage, parse_line};
use spec::schema::JOURNAL_JSON_SCHEMA;
use spec::state::Failure;
use spec::trunk::Trunk;
use spec::units::Loss;

/// One event of each kind, all that it can say said.
fn all() -> Vec<Event> {
    let loss = Loss::new(0.5).expect("finite");
    let run = "0123456789abcdef".parse().expect("16 digits");
    let (accuracy, top5_accuracy) = (Some(0.5), Some(0.75));
    vec![
        Event::Header { schema: 1, run_id: run, attempt: 1, pid: 7, host: "h".to_owned() },
        Event::Started {
            resumed_step: 3,
            device: "cpu".to_owned(),
            hardware: Some("p".to_owned()),
            software: Some("l".to_owned()),
            notes: vec!["n".to_owned()],
            trunk: Some(Trunk { run, step: 3 }),
        },
        Event::Heartbeat { step: 4 },
        Event::Progress { step: 4, samples: Some(40), loss, lr: Some(0.1), seconds: Some(2.0) },
        Event::Evaluated { step: 4, loss, accuracy, top5_accuracy },
        Event::Skipped { step: 4, epoch: 0, example: 9, reason: "no JPEG".to_owned() },
        Event::Epoch { epoch: 0, samples: 10, digest: "0".repeat(32) },
        Event::Checkpoint { step: 4 },
        Event::Usage(Usage::default()),
        Event::Preempted { step: 4 },
        Event::Diverged { step: 4 },
        Event::Finished(Finished {
            step: 9,
            heldout_loss: loss,
            accuracy,
            top5_accuracy,
            step_seconds: Some(0.1),
            state_hash: Some("ab".to_owned()),
        }),
        Event::Failed { class: Failure::Oom, message: "m".to_owned() },
    ]
}

/// What the schema calls an event. A new kind does not compile before it stands here.
fn name(event: &Event) -> &'static str {
    match event {
        Event::Header { .. } => "header",
        Event::Started { .. } => "started",
        Event::Heartbeat { .. } => "heartbeat",
        Event::Progress { .. } => "progress",
        Event::Evaluated { .. } => "evaluated",
        Event::Skipped { .. } => "skipped",
        Event::Epoch { .. } => "epoch",
        Event::Checkpoint { .. } => "checkpoint",
        Event::Usage(_) => "usage",
        Event::Preempted { .. } => "preempted",
        Event::Diverged { .. } => "diverged",
        Event::Finished(_) => "finished",
        Event::Failed { .. } => "failed",
    }
}

fn line(event: Event) -> Value {
    serde_json::to_value(Line { seq: 1, at_ms: 2, event }).expect("plain data")
}

#[test]
fn the_schema_offers_what_the_reader_takes_and_asks_for_what_it_needs() {
    let schema: Value = serde_json::from_str(JOURNAL_JSON_SCHEMA).expect("JSON");
    jsonschema::draft7::meta::validate(&schema).expect("a draft-07 schema");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let offered = schema["oneOf"].as_array().expect("a list").len();
    assert_eq!(offered, all().len(), "as many kinds here as there");
    for event in all() {
        let name = name(&event);
        let full = line(event);
        assert_eq!(full["event"], name);
        assert!(validator.is_valid(&full), "{full}");
        let keys = |value: &Value| value.as_object().expect("a table").keys().cloned().collect::<Vec<_>>();
        let (mut written, mut known) = (keys(&full), keys(&schema["definitions"][name]["properties"]));
        written.sort();
        known.sort();
        assert_eq!(known, written, "{name}");
        for key in written {
            let mut less = full.clone();
            less.as_object_mut().expect("a table").remove(&key);
            let read = parse_line(&less.to_string()).is_ok();
            assert_eq!(validator.is_valid(&less), read, "{name} without {key}: the reader takes it: {read}");
        }
    }
    for wrong in [
        json!({"event": "sang"}),
        json!({"event": "finished", "heldout_loss": "1.5"}),
        json!({"event": "failed", "message": "m", "class": "luck"}),
    ] {
        assert!(!validator.is_valid(&wrong) && parse_line(&wrong.to_string()).is_err(), "{wrong}");
    }
}
