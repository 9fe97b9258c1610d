//! What device time was good for, against the definition step by step.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use store::Store;

/// What an attempt was billed and what it came to.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    seconds: f64,
    /// `None`: it did not say.
    from: Option<u64>,
    to: u64,
    devices: &'static str,
}

const OUTCOMES: [&str; 3] = ["crashed", "preempted", "completed"];

/// Useful seconds by counting: a step is useful where no later attempt begins at or before it.
fn useful(attempts: &[Attempt]) -> f64 {
    let of = |(index, attempt): (usize, &Attempt)| {
        let (earlier, later) = (&attempts[..index], &attempts[index + 1..]);
        let reached = || earlier.iter().map(|one| one.to).max().unwrap_or(0);
        let steps = attempt.from.unwrap_or_else(reached)..attempt.to;
        if steps.is_empty() {
            let has_crashed = OUTCOMES[index % 3] == "crashed";
            return if later.is_empty() && !has_crashed { attempt.seconds } else { 0.0 };
        }
        let kept =
            steps.clone().filter(|step| later.iter().all(|one| one.from.is_none_or(|from| from > *step))).count();
        attempt.seconds * kept as f64 / steps.count() as f64
    };
    attempts.iter().enumerate().map(of).sum()
}

async fn world(folder: &tempfile::TempDir) -> (Store, SqliteConnection) {
    let path = folder.path().join("s.db");
    let store = Store::open(&path).await.expect("a new database");
    let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.expect("opens");
    let sql = "insert into sweep (name, source, applied_ms) values ('a', '', 1);
        insert into cell values ('c', 'd', 1.0, 0.1, 1, 1, 1, 1.0, 1, 1000, 1);";
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("writable");
    (store, connection)
}

async fn add(connection: &mut SqliteConnection, number: usize, state: &str, attempts: &[Attempt]) {
    let run = format!("{number:016x}");
    let failure = (state == "failed").then_some("code");
    let loss = (state == "completed").then_some(1.0);
    let sql = "insert into run (run_id, cell_key, seed, spec, state, failure, heldout_loss, attempt) values (?1, 'c', 0, '{}', ?2, ?3, ?4, ?5)";
    sqlx::query(sql)
        .bind(&run)
        .bind(state)
        .bind(failure)
        .bind(loss)
        .bind(attempts.len() as i64)
        .execute(&mut *connection)
        .await
        .expect("a run");
    sqlx::query("insert into sweep_run (sweep_id, run_id, model, estimated_seconds) values (1, ?1, 'm', 1.0)")
        .bind(&run)
        .execute(&mut *connection)
        .await
        .expect("of the sweep");
    for (index, attempt) in attempts.iter().enumerate() {
        sqlx::query(
            "insert into attempt (run_id, attempt, started_ms, ended_ms, outcome, device_seconds, resumed_step, step, devices)
             values (?1, ?2, 0, 1, ?3, ?4, ?5, ?6, ?7)",
        )
        .bind(&run)
        .bind(index as i64 + 1)
        .bind(OUTCOMES[index % 3])
        .bind(attempt.seconds)
        .bind(attempt.from.map(|from| from as i64))
        .bind(attempt.to as i64)
        .bind(attempt.devices)
        .execute(&mut *connection)
        .await
        .expect("an attempt");
    }
}

/// A small generator: the seed is in the message of every assertion.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[tokio::test]
async fn the_parts_are_what_the_steps_say_and_add_up_on_every_device() {
    const NAMES: [&str; 3] = ["cpu 0", "GPU-1", "cpu 0,GPU-1"];
    for seed in 0..20 {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (store, mut connection) = world(&folder).await;
        let mut random = Random(seed);
        let (mut expected, mut failed, mut billed) = (0.0, 0.0, [0.0; 2]);
        for number in 0..12 {
            let attempts: Vec<Attempt> = (0..random.below(5))
                .map(|_| Attempt {
                    seconds: random.below(1000) as f64 / 8.0,
                    from: Some(random.below(30)).filter(|from| *from % 5 > 0),
                    to: random.below(40),
                    devices: NAMES[random.below(3) as usize],
                })
                .collect();
            let state = ["completed", "queued", "failed", "cancelled"][random.below(4) as usize];
            add(&mut connection, number, state, &attempts).await;
            let seconds: f64 = attempts.iter().map(|attempt| attempt.seconds).sum();
            match state {
                "failed" | "cancelled" => failed += seconds,
                _ => expected += useful(&attempts),
            }
            for attempt in &attempts {
                let number = attempt.devices.split(',').count() as f64;
                for (index, name) in NAMES[..2].iter().enumerate() {
                    billed[index] += if attempt.devices.contains(name) { attempt.seconds / number } else { 0.0 };
                }
            }
        }
        let ledger = store.ledger(1).await.expect("readable");
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9 * (1.0 + b.abs());
        assert!(
            close(ledger.useful, expected) && close(ledger.failed, failed),
            "seed {seed}: {ledger:?}, {expected} {failed}"
        );
        let parts = ledger.useful + ledger.repeated + ledger.failed;
        assert!(close(parts, ledger.billed()) && ledger.repeated >= -1e-9, "seed {seed}: {ledger:?}");
        let devices = store.ledger_by_device(1).await.expect("readable");
        for (index, name) in NAMES[..2].iter().enumerate() {
            let of = devices.iter().find(|device| device.device == *name);
            let sum = of.map_or(0.0, |device| device.useful + device.repeated + device.failed);
            assert!(close(sum, billed[index]), "seed {seed}: {name}: {devices:?}, {billed:?}");
        }
    }
}

#[tokio::test]
async fn steps_behind_the_checkpoint_are_repeated() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (store, mut connection) = world(&folder).await;
    let attempt = |seconds, from, to| Attempt { seconds, from: Some(from), to, devices: "cpu 0" };
    add(&mut connection, 1, "completed", &[attempt(10.0, 0, 100), attempt(8.0, 80, 160), attempt(4.0, 160, 200)]).await;
    // Without a step: lost, unless it is the last.
    add(&mut connection, 2, "completed", &[attempt(3.0, 0, 0), attempt(10.0, 0, 50), attempt(1.0, 50, 50)]).await;
    // One that ended before it began takes nothing from the others.
    let lost = Attempt { seconds: 2.0, from: None, to: 160, devices: "cpu 0" };
    add(&mut connection, 3, "completed", &[attempt(16.0, 0, 160), lost, attempt(4.0, 160, 200)]).await;
    let ledger = store.ledger(1).await.expect("readable");
    assert_eq!((ledger.useful, ledger.repeated, ledger.failed), (51.0, 7.0, 0.0));
}
