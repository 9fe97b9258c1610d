//! Fills a database with a sweep of 10,000 runs and any number of metric rows, to try what reading it takes:
//! `cargo run -p store --example large_database -- FOLDER [METRIC_ROWS]`, then `scalelaw --state-dir FOLDER status`.
#![expect(clippy::print_stdout, reason = "an example says what it did")]

mod large;

use std::path::PathBuf;
use std::str::FromStr;

use spec::document::Format;
use spec::plan::{Outcomes, Plan};
use spec::sweep::Sweep;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use store::Store;

/// 8,000 runs have their results, after one interruption each; 100 failed, the others wait. Every run with a result has its share of
/// the metric rows.
const FILL: [&str; 6] = [
    "create temp table place as select run_id, row_number() over (order by run_id) as at from run",
    "update run set state = 'completed', heldout_loss = 1 + abs(random() % 1000) / 1000.0, attempt = 2,
         step = (select steps from cell where cell_key = run.cell_key)
     where run_id in (select run_id from place where at <= 8000)",
    "update run set state = 'failed', failure = 'code', message = 'ended with code 1 and no result', attempt = 1
     where run_id in (select run_id from place where at between 8001 and 8100)",
    "insert into attempt (run_id, attempt, started_ms, ended_ms, outcome, resumed_step, step, device_seconds, devices)
     select run_id, 1, 0, 60000, iif(at <= 8000, 'preempted', 'crashed'), 0, 100, 60.0, 'cpu 0' from place where at <= 8100",
    "insert into attempt (run_id, attempt, started_ms, ended_ms, outcome, resumed_step, step, device_seconds, devices,
         data_seconds, wait_seconds, gradient_seconds, optimizer_seconds, evaluation_seconds, checkpoint_seconds)
     select run_id, 2, 60000, 120000, 'completed', 90, run.step, 60.0, 'cpu 0', 1.0, 0.0, 40.0, 10.0, 5.0, 1.0
     from place join run using (run_id) where at <= 8000",
    "insert into metric (run_id, step, attempt, samples, loss, lr, seconds)
     with recursive number (step) as (select 1 union all select step + 1 from number where step < ?1)
     select run_id, step, 2, 64 * step, 1.0, 0.1, 0.01 from place cross join number where at <= 8000",
];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder to make"));
    let metrics: u64 = arguments.next().map_or(2_000_000, |rows| rows.parse().expect("a number of metric rows"));
    std::fs::create_dir_all(&folder).expect("a folder");
    let database = folder.join("scalelaw.db");
    // 10,000 runs.
    let text = large::text([10, 50, 20], "", "");
    let sweep = Sweep::parse(&text, Format::Toml).expect("a sweep");
    let plan = Plan::expand(&sweep, &large::facts(), &Outcomes::new()).expect("a plan");
    let store = Store::open(&database).await.expect("a database");
    store.apply("large", &text, &plan, 1).await.expect("applied");
    store.close().await;
    let options =
        SqliteConnectOptions::from_str(&database.display().to_string()).expect("a path").pragma("synchronous", "off");
    let mut connection = options.connect().await.expect("a database");
    for statement in FILL {
        let statement = sqlx::query(statement);
        let statement = statement.bind((metrics / 8000) as i64);
        statement.execute(&mut connection).await.expect("filled");
    }
    connection.close().await.expect("closed");
    let bytes = std::fs::metadata(&database).expect("a file").len();
    println!("{}: {} runs, {metrics} metric rows, {} MiB", database.display(), plan.runs.len(), bytes >> 20);
}
