//! The database, through its public functions: every query runs here against the migrated schema.

use std::collections::BTreeMap;
use std::path::Path;

use spec::document::Format;
use spec::journal::{Event, Finished, Line, Usage};
use spec::plan::{DatasetFacts, Outcomes, Plan};
use spec::run::PerChannel;
use spec::run::RunId;
use spec::samples::{SeenEpoch, Skipped};
use spec::state::{Failure, RunState, Transition};
use spec::sweep::Sweep;
use spec::units::Loss;
use store::{Ended, Outcome, Placement, Process, RunRow, Session, Store, StoreError};
use tempfile::TempDir;

const SWEEP: &str = r#"
name = "s"
data = { dataset = "d", channels = 1, classes = 4, resolution = 8, train_examples = 100, heldout_examples = 10 }
model = { family = "nfnet", stem_channels = [4], stem_strides = [1], sizes = [{ name = "a", depths = [1], widths = [8], group_width = 4 }] }
grid = { epochs = [1], lr = [0.1, 0.2] }
train = { batch = 10 }
"#;

struct World {
    _folder: TempDir,
    store: Store,
    sweep: i64,
}

fn plan(text: &str) -> Plan {
    let sweep = Sweep::parse(text, Format::Toml).expect("a good sweep");
    let facts = DatasetFacts {
        fingerprint: "f".to_owned(),
        train_examples: 100,
        heldout_examples: 10,
        channels: 1,
        resolution: Some(8),
        classes: 4,
        mean: PerChannel::All(0.0),
        std: PerChannel::All(1.0),
        multi_label: false,
        per_class: Vec::new(),
    };
    Plan::expand(&sweep, &facts, &Outcomes::new()).expect("a good plan")
}

impl World {
    async fn new() -> World {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(&folder.path().join("s.db")).await.expect("a new database");
        let (sweep, _) = store.apply("s", SWEEP, &plan(SWEEP), 1).await.expect("applies");
        World { _folder: folder, store, sweep }
    }

    async fn rows(&self) -> Vec<RunRow> {
        self.store.runs(self.sweep).await.expect("readable")
    }

    async fn first(&self) -> RunId {
        self.rows().await[0].run
    }

    async fn state(&self, run: RunId) -> RunState {
        self.rows().await.into_iter().find(|row| row.run == run).expect("there").state
    }
}

fn loss(nats: f64) -> Loss {
    Loss::new(nats).expect("finite")
}

fn lines(events: impl IntoIterator<Item = Event>) -> Vec<Line> {
    (0..).zip(events).map(|(seq, event)| Line { seq, at_ms: 1000 + seq as i64, event }).collect()
}

fn started(resumed_step: u64) -> Event {
    Event::Started {
        resumed_step,
        device: "cpu".to_owned(),
        hardware: Some("a processor".to_owned()),
        software: None,
        notes: Vec::new(),
        trunk: None,
    }
}

fn progress(step: u64, nats: f64) -> Event {
    Event::Progress { step, samples: Some(10 * step), loss: loss(nats), lr: Some(0.1), seconds: Some(0.5) }
}

fn ended(outcome: Outcome, transition: Transition) -> Ended {
    Ended { outcome, transition, failure: None, message: None, device_seconds: Some(2.0) }
}

/// Each of these in a transaction of its own.
async fn start(store: &Store, run: RunId, attempt: u32, now_ms: i64) -> Result<(), StoreError> {
    let mut write = store.write().await?;
    write.start_attempt(run, attempt, &Placement::default(), now_ms).await?;
    write.commit().await
}

async fn note(store: &Store, run: RunId, attempt: u32, process: &Process) -> Result<(), StoreError> {
    let mut write = store.write().await?;
    write.note_process(run, attempt, process).await?;
    write.commit().await
}

async fn end(store: &Store, run: RunId, attempt: u32, ended: &Ended, now_ms: i64) -> Result<bool, StoreError> {
    let mut write = store.write().await?;
    let done = write.end_attempt(run, attempt, ended, now_ms).await?;
    write.commit().await?;
    Ok(done)
}

#[tokio::test]
async fn a_run_goes_from_queued_to_completed() {
    let world = World::new().await;
    let run = world.first().await;
    let store = &world.store;
    start(store, run, 1, 10).await.expect("queued");
    note(store, run, 1, &Process { pid: 7, start: 8, boot_id: "b".to_owned() }).await.expect("writable");
    let finished = Finished {
        step: 10,
        heldout_loss: loss(0.5),
        accuracy: Some(0.9),
        top5_accuracy: None,
        step_seconds: Some(0.25),
        state_hash: Some("h".to_owned()),
    };
    let events = [
        started(0),
        progress(5, 1.5),
        Event::Epoch { epoch: 0, samples: 100, digest: "00".to_owned() },
        // The evaluation at the end got lost; the result is in the last line all the same.
        Event::Evaluated { step: 5, loss: loss(0.7), accuracy: Some(0.8), top5_accuracy: None },
        Event::Usage(Usage {
            data_seconds: 1.0,
            wait_seconds: 0.5,
            gradient_seconds: 3.0,
            peak_memory_bytes: 5,
            ..Usage::default()
        }),
        Event::Finished(finished),
    ];
    assert!(store.ingest(run, 1, &lines(events), 0, 500).await.expect("writable"));
    assert!(end(store, run, 1, &ended(Outcome::Completed, Transition::Complete), 20).await.expect("running"));
    let row = world.rows().await.remove(0);
    assert_eq!(row.state, RunState::Completed);
    let worked = store.worked(world.sweep).await.expect("readable");
    assert_eq!((worked[0].hardware.as_deref(), worked[0].attempts, worked[0].seconds), (Some("a processor"), 1, 2.0));
    store.note_session(world.sweep, 5, "{}").await.expect("writable");
    let sessions = store.sessions(world.sweep).await.expect("readable");
    assert_eq!(sessions, [Session { began_ms: 5, surroundings: "{}".to_owned() }]);
    let result = row.result.as_ref().expect("a result");
    assert_eq!((result.heldout_loss, result.accuracy, result.state_hash.as_deref()), (0.5, Some(0.9), Some("h")));
    assert_eq!(row.train_seconds(), Some(2.5));
    let usage = row.usage.expect("it was said");
    assert_eq!((usage.data_seconds, usage.gradient_seconds, usage.peak_memory_bytes), (1.0, 3.0, 5));
    assert_eq!(usage.wait_seconds, 0.5);
    let images = row.spec.train.batch as f64 / 0.25;
    assert_eq!(row.images_per_second(), Some(images));
    let per_image = row.flops / row.samples as f64;
    assert!((row.flops_per_second().expect("a result") / (images * per_image) - 1.0).abs() < 1e-12);
    assert_eq!(row.device_seconds, 2.0);
    let epochs = store.epochs(run).await.expect("readable");
    assert_eq!((epochs[0].samples, epochs[0].digest.as_str()), (100, "00"));
    let ledger = store.ledger(world.sweep).await.expect("readable");
    assert_eq!((ledger.with_result, ledger.attempts), (2.0, 1));
    let work = store.work(world.sweep).await.expect("readable");
    assert_eq!((work.len(), work[&world.rows().await[1].run].started_ms), (2, None));
    let work = &work[&run];
    assert_eq!((work.started_ms, work.ended_ms, work.device.as_deref()), (Some(10), Some(20), Some("cpu")));
    assert_eq!((work.training_loss, work.best_heldout_loss, work.best_step), (Some(1.5), Some(0.5), Some(10)));
    assert_eq!((work.useful_seconds, work.repeated_seconds, work.failed_seconds), (2.0, 0.0, 0.0));
    let recorded = store.recorded(run, None, 100).await.expect("readable");
    let series = recorded.iter().map(|one| (one.series.as_str(), one.step, one.samples, one.value));
    let expected = [
        ("heldout_accuracy", 5, None, 0.8),
        ("heldout_accuracy", 10, None, 0.9),
        ("heldout_loss_nats", 5, None, 0.7),
        ("heldout_loss_nats", 10, None, 0.5),
        ("training_loss_nats", 5, Some(50), 1.5),
    ];
    assert!(series.eq(expected), "{recorded:?}");
    for (index, after) in recorded.iter().enumerate() {
        let next = store.recorded(run, Some(after), 2).await.expect("readable");
        assert!(next.iter().eq(recorded[index + 1..].iter().take(2)), "{next:?}");
    }
    store.save_fit(world.sweep, "frontier", "p", "{}", 30).await.expect("writable");
    store.save_fit(world.sweep, "frontier", "p", "{\"again\":1}", 40).await.expect("the same points again");
}

#[tokio::test]
async fn a_piece_of_journal_counts_once() {
    let world = World::new().await;
    let run = world.first().await;
    start(&world.store, run, 1, 10).await.expect("queued");
    let piece = lines([started(0), progress(3, 2.0)]);
    assert!(world.store.ingest(run, 1, &piece, 0, 200).await.expect("writable"));
    assert!(!world.store.ingest(run, 1, &piece, 0, 200).await.expect("writable"), "read before");
    assert!(world.store.ingest(run, 1, &lines([progress(4, 1.9)]), 200, 300).await.expect("writable"));
    assert_eq!(world.rows().await[0].step, 4);
}

#[tokio::test]
async fn a_stale_attempt_cannot_write() {
    let world = World::new().await;
    let run = world.first().await;
    let store = &world.store;
    start(store, run, 1, 10).await.expect("queued");
    end(store, run, 1, &ended(Outcome::Preempted, Transition::Requeue), 20).await.expect("running");
    start(store, run, 2, 30).await.expect("queued again");
    assert!(!store.ingest(run, 1, &lines([progress(9, 0.1)]), 0, 100).await.expect("writable"));
    assert!(!end(store, run, 1, &ended(Outcome::Completed, Transition::Complete), 40).await.expect("writable"));
    assert_eq!(world.state(run).await, RunState::Running);
    let again = start(store, run, 3, 50).await.expect_err("it is running");
    assert!(matches!(again, StoreError::Conflict { .. }), "{again}");
    assert_eq!(store.open_attempts().await.expect("readable").len(), 1);
}

#[tokio::test]
async fn what_is_done_again_replaces_what_was_thrown_away() {
    let world = World::new().await;
    let run = world.first().await;
    let store = &world.store;
    start(store, run, 1, 10).await.expect("queued");
    let evaluated = |step, nats| Event::Evaluated { step, loss: loss(nats), accuracy: Some(0.5), top5_accuracy: None };
    store.ingest(run, 1, &lines([started(0), progress(4, 2.0), evaluated(8, 9.0)]), 0, 100).await.expect("writable");
    end(store, run, 1, &ended(Outcome::Crashed, Transition::Requeue), 20).await.expect("running");
    start(store, run, 2, 30).await.expect("queued");
    let finished = Finished {
        step: 6,
        heldout_loss: loss(0.5),
        accuracy: Some(0.9),
        top5_accuracy: None,
        step_seconds: Some(0.25),
        state_hash: Some("h".to_owned()),
    };
    let events = [started(4), evaluated(6, 0.5), Event::Finished(finished)];
    store.ingest(run, 2, &lines(events), 0, 100).await.expect("writable");
    end(store, run, 2, &ended(Outcome::Completed, Transition::Complete), 40).await.expect("running");
    let row = world.rows().await.into_iter().find(|row| row.run == run).expect("there");
    assert_eq!(row.result.expect("a result").heldout_loss, 0.5, "the loss of step 8 belongs to weights that are gone");
    assert_eq!(row.crashes, 1);
}

#[tokio::test]
async fn a_trainer_that_says_only_its_loss_has_a_result() {
    let world = World::new().await;
    let run = world.first().await;
    let store = &world.store;
    start(store, run, 1, 10).await.expect("queued");
    let parse = |text: &str| spec::journal::parse_line(text).expect("a good line");
    let first = ["{\"event\":\"started\"}", "{\"event\":\"progress\",\"step\":9999,\"loss\":2}"].map(parse);
    let own_count = parse("{\"event\":\"evaluated\",\"step\":9999,\"loss\":2}");
    let last = parse("{\"event\":\"finished\",\"heldout_loss\":0.5}");
    let all = first.into_iter().chain([own_count, parse("{\"event\":\"heartbeat\"}"), last]);
    store.ingest(run, 1, &all.collect::<Vec<_>>(), 0, 100).await.expect("writable");
    end(store, run, 1, &ended(Outcome::Completed, Transition::Complete), 20).await.expect("running");
    let row = world.rows().await.into_iter().find(|row| row.run == run).expect("there");
    let result = row.result.as_ref().expect("a result");
    assert_eq!((result.heldout_loss, result.accuracy, result.step_seconds), (0.5, None, None));
    assert_eq!((row.step, row.train_seconds(), row.images_per_second()), (row.steps, None, None));
}

#[tokio::test]
async fn what_an_attempt_saw_after_the_checkpoint_is_forgotten() {
    let world = World::new().await;
    let run = world.first().await;
    let store = &world.store;
    let spec = world.rows().await.remove(0).spec;
    let (examples, batch) = (spec.data.train_examples, spec.train.batch);
    assert_eq!((examples, batch), (100, 10));
    let epoch = |epoch, samples, digest: &str| Event::Epoch { epoch, samples, digest: digest.to_owned() };
    let skipped = |step, epoch, example| Event::Skipped { step, epoch, example, reason: "no JPEG".to_owned() };
    start(store, run, 1, 10).await.expect("queued");
    let first =
        [started(0), skipped(3, 0, 9), skipped(9, 0, 8), epoch(0, 100, "a"), skipped(12, 1, 7), epoch(1, 50, "b")];
    store.ingest(run, 1, &lines(first), 0, 100).await.expect("writable");
    assert_eq!(
        (store.epochs(run).await.expect("readable").len(), store.skipped(run).await.expect("readable").len()),
        (2, 3)
    );
    end(store, run, 1, &ended(Outcome::Crashed, Transition::Requeue), 20).await.expect("running");
    start(store, run, 2, 30).await.expect("queued");
    store.ingest(run, 2, &lines([started(10)]), 0, 100).await.expect("writable");
    let epochs = store.epochs(run).await.expect("readable");
    assert_eq!(epochs, [SeenEpoch { epoch: 0, samples: 100, digest: "a".to_owned() }], "it ended with the checkpoint");
    let of =
        |skipped: Vec<Skipped>| -> Vec<(u64, u64)> { skipped.iter().map(|one| (one.epoch, one.example)).collect() };
    assert_eq!(of(store.skipped(run).await.expect("readable")), [(0, 8), (0, 9)]);
    // An attempt that repeats a step lists the same examples again.
    let again = lines([started(8), skipped(9, 0, 8), skipped(9, 0, 8)]);
    store.ingest(run, 2, &again, 100, 200).await.expect("writable");
    assert_eq!(of(store.skipped(run).await.expect("readable")), [(0, 8), (0, 9)]);
    assert_eq!(store.skipped(run).await.expect("readable")[0].reason, "no JPEG");
    assert!(store.epochs(run).await.expect("readable").is_empty());
    let sweep = store.sweep_of(run).await.expect("readable").expect("a run of a sweep");
    assert_eq!((sweep.sweep_id, sweep.name.as_str()), (world.sweep, "s"));
    assert_eq!(store.sweep_of("00000000000000ff".parse().expect("an id")).await.expect("readable"), None);
}

#[tokio::test]
async fn a_sweep_can_be_edited() {
    let world = World::new().await;
    let more = SWEEP.replace("[0.1, 0.2]", "[0.2, 0.4]");
    let (_, applied) = world.store.apply("s", &more, &plan(&more), 2).await.expect("applies");
    assert_eq!((applied.new, applied.kept, applied.dropped), (1, 1, 1));
    let (_, again) = world.store.apply("s", &more, &plan(&more), 3).await.expect("applies");
    assert_eq!((again.new, again.kept, again.dropped), (0, 2, 0));
    assert_eq!(world.rows().await.iter().filter(|row| row.wanted).count(), 2);
    let back = SWEEP.replace("[0.1, 0.2]", "[0.1, 0.8]");
    let (_, back) = world.store.apply("s", &back, &plan(&back), 4).await.expect("applies");
    assert_eq!((back.new, back.kept, back.dropped), (1, 1, 2), "what comes back is kept, what goes is dropped");
}

/// More rows than one statement adds, with trunks, and everything that an edit can change of them.
#[tokio::test]
async fn a_large_sweep_is_applied_whole_and_can_be_edited() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(&folder.path().join("s.db")).await.expect("a new database");
    let large = SWEEP
        .replace(
            "epochs = [1], lr = [0.1, 0.2]",
            "epochs = [1, 2], lr = { center = 0.1, factor = 1.1, num = 67 }, seeds = [0, 1, 2, 3, 4, 5]",
        )
        .replace("batch = 10", "batch = 10, warmup_steps = 2, schedule = { name = \"wsd\", share_trunk = true }");
    let check = async |text: &str, now_ms: i64, changes: (usize, usize, usize)| {
        let plan = plan(text);
        let (sweep, applied) = store.apply("s", text, &plan, now_ms).await.expect("applies");
        assert_eq!((applied.new, applied.kept, applied.dropped), changes);
        let rows: BTreeMap<RunId, RunRow> =
            store.runs(sweep).await.expect("readable").into_iter().map(|row| (row.run, row)).collect();
        assert_eq!(rows.values().filter(|row| row.wanted).count(), plan.runs.len());
        let queue = store.queue(sweep).await.expect("readable");
        for run in &plan.runs {
            let row = &rows[&run.id];
            assert!(row.wanted && row.model == run.model && row.spec == run.spec, "{row:?}");
            let queued = queue.iter().find(|row| row.run == run.id).expect("in the queue");
            assert_eq!((queued.trunk, queued.estimated_seconds), (run.trunk, run.price.seconds * run.own_share()));
        }
    };
    check(&large, 1, (804, 0, 0)).await;
    check(&large, 2, (0, 804, 0)).await;
    check(&large.replace("\"a\"", "\"b\""), 3, (0, 804, 0)).await;
    check(&large.replace("[1, 2]", "[2]"), 4, (0, 402, 402)).await;
    check(&large.replace(", share_trunk = true", ""), 5, (0, 804, 0)).await;
}

#[tokio::test]
async fn a_failed_run_can_be_tried_again_and_a_queued_one_cancelled() {
    let world = World::new().await;
    let run = world.first().await;
    let store = &world.store;
    start(store, run, 1, 10).await.expect("queued");
    let fail = ended(Outcome::Crashed, Transition::Fail(Failure::Oom));
    end(store, run, 1, &fail, 20).await.expect("running");
    assert_eq!(world.state(run).await, RunState::Failed(Failure::Oom));
    assert_eq!(store.change(run, Transition::Retry, 50).await.expect("failed"), RunState::Queued);
    assert_eq!(store.change(run, Transition::Cancel, 50).await.expect("queued"), RunState::Cancelled);
    assert!(store.change(run, Transition::Complete, 50).await.is_err());
    assert_eq!(store.inconsistent_runs().await.expect("readable"), [], "the moves lead to the row");
}

#[tokio::test]
async fn readers_cannot_write_and_a_missing_database_is_said() {
    let world = World::new().await;
    let path = world._folder.path().join("s.db");
    let reader = Store::open_to_read(&path).await.expect("there");
    assert!(reader.save_fit(world.sweep, "l", "p", "{}", 1).await.is_err());
    let missing = Store::open_to_read(&path.with_file_name("none.db")).await.expect_err("nothing there");
    assert!(missing.to_string().contains("scalelaw run"), "{missing}");
}

/// A database as the first version left it, with a finished run in it.
#[tokio::test]
async fn an_older_database_is_refused_to_readers_and_brought_up_to_date_by_the_writer() {
    use sqlx::migrate::{Migrate, Migrator};
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{Connection, SqliteConnection};
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("s.db");
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let migrations = Migrator::new(migrations).await.expect("there");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut old = SqliteConnection::connect_with(&options).await.expect("a new database");
    let table = migrations.table_name.clone();
    old.ensure_migrations_table(&table).await.expect("empty");
    let first = migrations.iter().next().expect("there is one");
    old.apply(&table, first).await.expect("empty");
    old.close().await.expect("open");
    assert!(matches!(Store::open_to_read(&path).await, Err(StoreError::Outdated(_))));
    let store = Store::open(&path).await.expect("an older one");
    let (sweep, _) = store.apply("s", SWEEP, &plan(SWEEP), 1).await.expect("applies");
    store.close().await;
    let reader = Store::open_to_read(&path).await.expect("up to date");
    assert_eq!(reader.runs(sweep).await.expect("readable")[0].usage, None);
}

#[tokio::test]
async fn what_a_lost_node_did_before_the_state_that_is_gone_on_from_is_taken_in_late() {
    let world = World::new().await;
    let run = world.first().await;
    let store = &world.store;
    let epoch = |epoch| Event::Epoch { epoch, samples: 100, digest: format!("{epoch}") };
    start(store, run, 1, 10).await.expect("queued");
    store.ingest(run, 1, &lines([started(0), progress(4, 2.0), epoch(0)]), 0, 100).await.expect("writable");
    end(store, run, 1, &ended(Outcome::Crashed, Transition::Requeue), 20).await.expect("running");
    start(store, run, 2, 30).await.expect("queued");
    let mut write = store.write().await.expect("a transaction");
    assert_eq!(write.journals_before(run, 2).await.expect("readable"), [(1, 100)]);
    let finished: Line =
        spec::journal::parse_line(r#"{"event": "finished", "heldout_loss": 1.0}"#).expect("a line of the journal");
    let finished = finished.event;
    let late = lines([progress(8, 1.5), epoch(1), epoch(2), progress(30, 1.0), finished]);
    write.ingest_late(run, 1, &late, 300).await.expect("writable");
    // The state that it goes on from has twenty steps: two epochs.
    assert!(write.ingest(run, 2, &lines([started(20)]), 0, 50).await.expect("writable"));
    write.commit().await.expect("durable");
    assert_eq!(world.state(run).await, RunState::Running, "a stale result is none");
    let row = world.rows().await.remove(0);
    assert!(row.result.is_none());
    let epochs: Vec<u64> = store.epochs(run).await.expect("readable").iter().map(|epoch| epoch.epoch).collect();
    assert_eq!(epochs, [0, 1], "both ended before the state was saved");
}
