//! Wishes of people, as two processes see them: the one that makes them and the scheduler.

use std::path::{Path, PathBuf};

use spec::run::RunId;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use store::{Request, Store, StoreError, Wish};
use tempfile::TempDir;

const SWEEPS: &str = "insert into sweep (name, source, applied_ms) values ('a', '', 1), ('b', '', 2);
    insert into cell values ('c', 'd', 1.0, 0.1, 1, 1, 1, 1.0, 1, 1, 1);
    insert into run (run_id, cell_key, seed, spec)
    values ('000000000000000a', 'c', 0, '{}'), ('000000000000000b', 'c', 1, '{}');";

struct World {
    _folder: TempDir,
    path: PathBuf,
    scheduler: Store,
    person: Store,
}

impl World {
    /// Two sweeps and two runs, opened by a scheduler and by a person.
    async fn new() -> World {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("s.db");
        let scheduler = Store::open(&path).await.expect("a new database");
        execute(&path, SWEEPS).await;
        let person = Store::open_beside(&path).await.expect("there and current");
        World { _folder: folder, path, scheduler, person }
    }
}

async fn execute(path: &Path, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(path);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("opens");
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("writable");
}

fn run(number: u64) -> RunId {
    format!("{number:016x}").parse().expect("16 digits")
}

#[tokio::test]
async fn wishes_are_answered_once_and_in_order() {
    let World { scheduler, person, .. } = &World::new().await;
    let wishes =
        [Wish::Cancel(run(10)), Wish::Retry(run(11)), Wish::Prioritise(run(10), -3), Wish::Pause, Wish::Resume];
    let keys = person.request(1, &wishes, 5).await.expect("writable");
    let other = person.request(2, &[Wish::Pause], 6).await.expect("writable");
    let open = scheduler.open_requests(1).await.expect("readable");
    let expected: Vec<Request> =
        keys.iter().zip(wishes).map(|(id, wish)| Request { id: *id, sweep_id: 1, wish }).collect();
    assert_eq!(open, expected, "as they were made, and none of the other sweep");
    assert!(keys.is_sorted());
    scheduler.answer(keys[1], "tried again", 7).await.expect("writable");
    scheduler.answer(keys[1], "a second word", 8).await.expect("writable");
    let left: Vec<i64> = scheduler.open_requests(1).await.expect("readable").iter().map(|request| request.id).collect();
    assert_eq!(left, [keys[0], keys[2], keys[3], keys[4]]);
    let answers = person.answers(&keys).await.expect("readable");
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), [(keys[1], "tried again".to_owned())]);
    assert_eq!(scheduler.open_requests(2).await.expect("readable").len(), other.len());
}

#[tokio::test]
async fn all_wishes_of_a_call_are_noted_or_none() {
    let world = World::new().await;
    let refused = world.person.request(1, &[Wish::Cancel(run(10)), Wish::Cancel(run(99))], 5).await;
    assert!(matches!(refused, Err(StoreError::Sqlite { .. })), "run 99 is not there: {refused:?}");
    assert_eq!(world.scheduler.open_requests(1).await.expect("readable"), []);
}

#[tokio::test]
async fn a_pause_is_seen_until_it_is_taken_back() {
    let World { scheduler, person, .. } = &World::new().await;
    assert_eq!(person.paused(1).await.expect("readable"), None);
    scheduler.pause(1, Some("three failures in a row")).await.expect("writable");
    assert_eq!(person.paused(1).await.expect("readable").as_deref(), Some("three failures in a row"));
    assert_eq!(person.paused(2).await.expect("readable"), None);
    person.pause(1, None).await.expect("writable");
    assert_eq!(scheduler.paused(1).await.expect("readable"), None);
}

/// Both write as fast as they can; a short transaction waits for its turn and never fails.
#[tokio::test]
async fn two_writers_do_not_disturb_each_other() {
    let World { scheduler, person, .. } = &World::new().await;
    let wishing = async {
        for at in 0..100 {
            person
                .request(1, &[Wish::Prioritise(run(10), at), Wish::Retry(run(11))], at)
                .await
                .expect("waits its turn");
        }
    };
    let granting = async {
        let mut granted = 0;
        while granted < 200 {
            for request in scheduler.open_requests(1).await.expect("readable") {
                if let Wish::Prioritise(run, priority) = request.wish {
                    scheduler.prioritise(run, priority).await.expect("waits its turn");
                }
                scheduler.answer(request.id, "granted", 1).await.expect("waits its turn");
                granted += 1;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(wishing, granting);
    assert_eq!(scheduler.open_requests(1).await.expect("readable"), []);
}

#[tokio::test]
async fn opening_beside_a_scheduler_neither_makes_nor_migrates() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("none.db");
    assert!(matches!(Store::open_beside(&missing).await, Err(StoreError::Missing(_))));
    assert!(!missing.exists());
    let world = World::new().await;
    execute(&world.path, "delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)")
        .await;
    assert!(matches!(Store::open_beside(&world.path).await, Err(StoreError::Outdated(_))));
}

/// The scheduler asks several times a second, so answered wishes must not be read again.
#[tokio::test]
async fn asking_for_open_wishes_reads_only_those() {
    let world = World::new().await;
    let options = SqliteConnectOptions::new().filename(&world.path);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("opens");
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(
        "explain query plan select request_id, action, run_id, value from request
         where done_ms is null and sweep_id = 1 order by request_id",
    )
    .fetch_all(&mut connection)
    .await
    .expect("a plan");
    assert!(plan.iter().any(|(.., step)| step.contains("request_open")), "{plan:?}");
}
