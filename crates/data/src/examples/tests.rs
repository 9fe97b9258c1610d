use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::tar::tests::{archive, member};

mod layouts;

/// Opens and says of how many files the index was made; none if it was there.
fn open_with(pattern: &Path, labelling: &Labelling, cache: Option<&Path>) -> (Result<Examples, DataError>, u64) {
    let made = AtomicU64::new(0);
    let progress = |progress: Progress| {
        assert!(progress.files <= progress.of);
        made.store(progress.of, Ordering::Relaxed);
    };
    let opened = Examples::open(pattern.to_str().expect("text"), labelling, cache, false, &progress);
    (opened, made.into_inner())
}

fn open(pattern: &Path) -> Examples {
    open_with(pattern, &Labelling::default(), None).0.unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn refused(pattern: &Path, labelling: &Labelling, expected: &str) {
    let error = open_with(pattern, labelling, None).0.err().expect("an error").to_string();
    assert!(error.contains(expected), "{error}");
}

/// A shard with samples of which the label is the first number modulo seven and the picture tells both.
fn shard(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let sample = |number: u32| {
        let picture = member(&format!("a/{number:04}.jpg"), b'0', &picture(number));
        let label = member(&format!("a/{number:04}.cls"), b'0', (number % 7).to_string().as_bytes());
        [picture, label].concat()
    };
    archive(&numbers.map(sample).collect::<Vec<_>>())
}

fn picture(number: u32) -> Vec<u8> {
    format!("picture {number} ").repeat(1 + number as usize % 90).into_bytes()
}

fn read(examples: &Examples, index: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    examples.read(index, &mut bytes).unwrap_or_else(|error| panic!("{error}"));
    bytes
}

/// All examples are the pictures from 0 on.
#[track_caller]
fn check(examples: &Examples, count: u32) {
    assert_eq!(examples.len(), u64::from(count));
    let mut bytes = Vec::new();
    for at in 0..count {
        // Not one behind the other.
        let at = (at * 37 + 5) % count;
        examples.read(u64::from(at), &mut bytes).expect("a picture");
        assert_eq!(bytes, picture(at));
        assert_eq!(examples.label(u64::from(at)).expect("a label"), Label::One(at % 7));
    }
    assert!(examples.read(u64::from(count), &mut bytes).is_err() && examples.label(u64::from(count)).is_err());
    assert_eq!(examples.per_class().iter().sum::<u64>(), u64::from(count));
}

fn shards(folder: &Path) -> PathBuf {
    for at in 0..5 {
        fs::write(folder.join(format!("x-{at:03}.tar")), shard(at * 40..(at + 1) * 40)).expect("a shard");
    }
    folder.join("x-{000..004}.tar")
}

fn hidden(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
    let is_hidden = |path: &PathBuf| path.file_name().expect("a name").as_bytes().starts_with(b".scalelaw-");
    entries.filter(is_hidden).collect()
}

#[test]
fn shards_are_read_by_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let pattern = shards(folder.path());
    let (opened, made) = open_with(&pattern, &Labelling::default(), None);
    let first = opened.expect("shards");
    assert_eq!((made, first.classes(), hidden(folder.path()).len()), (5, 7, 1));
    check(&first, 200);
    first.advise(0..1000);
    assert_eq!(first.name(41).expect("a name"), "x-001.tar: a/0041.jpg");
    assert_eq!(first.passed_over().total(), 0);
    let (again, made) = open_with(&pattern, &Labelling::default(), None);
    let again = again.expect("shards");
    assert_eq!((made, again.fingerprint()), (0, first.fingerprint()));
    check(&again, 200);
    // The same files in the same order by another name are the same data, and so they are in another place.
    let starred = open(&folder.path().join("x-*.tar"));
    assert_eq!(starred.fingerprint(), first.fingerprint());
    let other = tempfile::tempdir().expect("a folder");
    assert_eq!(open(&shards(other.path())).fingerprint(), first.fingerprint());
    let fewer = open(&folder.path().join("x-{000..003}.tar"));
    assert_ne!(fewer.fingerprint(), first.fingerprint());
    check(&fewer, 160);
}

#[test]
fn only_what_has_changed_is_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let pattern = shards(folder.path());
    let first = open(&pattern).fingerprint().to_owned();
    // Damage to the content that the size and time do not show, so that reading these again would be noticed.
    for at in [0, 1, 3, 4] {
        let path = folder.path().join(format!("x-{at:03}.tar"));
        let time = fs::metadata(&path).expect("a shard").modified().expect("a time");
        let file = File::options().write(true).open(&path).expect("a shard");
        file.write_all_at(b"?", 0).expect("written");
        file.set_modified(time).expect("a time");
    }
    fs::write(folder.path().join("x-002.tar"), shard(80..90)).expect("a shard");
    let (opened, made) = open_with(&pattern, &Labelling::default(), None);
    let opened = opened.expect("shards");
    assert_eq!((made, opened.len()), (5, 170));
    assert_ne!(opened.fingerprint(), first);
    for (index, number) in [(0, 0), (79, 79), (80, 80), (89, 89), (90, 120), (169, 199)] {
        assert_eq!(read(&opened, index), picture(number));
    }
    assert_eq!(hidden(folder.path()).len(), 1, "the old index is written over");
}

#[test]
fn a_damaged_index_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let pattern = shards(folder.path());
    drop(open(&pattern));
    let index = hidden(folder.path()).remove(0);
    let whole = fs::read(&index).expect("an index");
    let entries = crate::index::PROLOGUE..crate::index::PROLOGUE + 200 * crate::index::ENTRY as usize;
    for at in (0..whole.len()).step_by(31).chain([entries.start, entries.end - 1, whole.len() - 1]) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&index, damaged).expect("written");
        let (opened, made) = open_with(&pattern, &Labelling::default(), None);
        assert_eq!((opened.expect("shards").len(), made), (200, 5), "byte {at}");
        assert_eq!(fs::read(&index).expect("an index"), whole, "byte {at}");
    }
    for length in [0, 10, 71, 72, 500, entries.end, whole.len() - 1] {
        fs::write(&index, &whole[..length]).expect("written");
        check(&open(&pattern), 200);
    }
}

#[test]
fn several_may_open_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let pattern = shards(folder.path());
    for round in 0..5 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| check(&open(&pattern), 200));
            }
        });
        assert_eq!(hidden(folder.path()).len(), 1, "round {round}");
        fs::remove_file(&hidden(folder.path())[0]).expect("removed");
    }
}

#[test]
fn many_threads_may_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let examples = open(&shards(folder.path()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| check(&examples, 200));
        }
    });
}

#[test]
fn an_index_that_cannot_be_beside_the_data_is_in_the_cache() {
    let (folder, cache) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let pattern = shards(folder.path());
    let place = open(&pattern).index_file().to_owned();
    // A folder of that name stands for one that cannot be written: root can write everywhere.
    fs::remove_file(&place).expect("removed");
    fs::create_dir(&place).expect("a folder");
    let cached = cache.path().join("not/there/yet");
    let (opened, made) = open_with(&pattern, &Labelling::default(), Some(&cached));
    let opened = opened.expect("shards");
    assert!(made == 5 && opened.index_file().starts_with(&cached), "{}", opened.index_file().display());
    check(&opened, 200);
    assert_eq!(open_with(&pattern, &Labelling::default(), Some(&cached)).1, 0);
    refused(&pattern, &Labelling::default(), ".scalelaw-");
    assert_eq!(open_with(&pattern, &Labelling { multi_label: true, ..Labelling::default() }, Some(&cached)).1, 5);
}

#[test]
fn a_shard_that_changes_while_in_use_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let pattern = shards(folder.path());
    let examples = open(&pattern);
    let path = |at: usize| folder.path().join(format!("x-{at:03}.tar"));
    let why = |index: u64| match examples.read(index, &mut Vec::new()) {
        Err(DataError::Changed { path, problem }) => (path, problem),
        other => panic!("{other:?}"),
    };
    // The first is open already.
    assert_eq!(read(&examples, 39), picture(39));
    File::options().write(true).open(path(0)).expect("a shard").set_len(1000).expect("cut");
    assert!(why(39).1.contains("gone"));
    File::options().write(true).open(path(1)).expect("a shard").set_len(1000).expect("cut");
    assert!(why(40).1.contains("and has 1000 now"));
    fs::remove_file(path(2)).expect("removed");
    assert_eq!(why(80), (path(2), "it is not there any more".to_owned()));
    File::options().write(true).open(path(3)).expect("a shard").set_modified(std::time::UNIX_EPOCH).expect("a time");
    assert!(why(120).1.contains("written since"));
    check_last(&examples);
}

fn check_last(examples: &Examples) {
    assert_eq!(read(examples, 199), picture(199));
}

#[test]
fn more_shards_than_may_be_open() {
    let folder = tempfile::tempdir().expect("a folder");
    for at in 0..300 {
        fs::write(folder.path().join(format!("{at:03}.tar")), shard(at..at + 1)).expect("a shard");
    }
    let examples = open(&folder.path().join("{000..299}.tar"));
    check(&examples, 300);
    let opened = fs::read_dir("/proc/self/fd").map(Iterator::count);
    assert!(opened.is_err() || opened.is_ok_and(|count| count < 2 * OPEN_FILES + 100));
}

#[test]
fn what_a_killed_process_left_is_removed_after_a_day() {
    let folder = tempfile::tempdir().expect("a folder");
    let pattern = shards(folder.path());
    let now = std::time::SystemTime::now();
    for (name, hours) in [(".scalelaw-old.tmp", 25), (".scalelaw-new.tmp", 1), ("other.tmp", 25)] {
        let file = File::create(folder.path().join(name)).expect("a file");
        file.set_modified(now - std::time::Duration::from_secs(hours * 3600)).expect("a time");
    }
    drop(open(&pattern));
    let left = |name: &str| folder.path().join(name).exists();
    assert_eq!([".scalelaw-old.tmp", ".scalelaw-new.tmp", "other.tmp"].map(left), [false, true, true]);
}
