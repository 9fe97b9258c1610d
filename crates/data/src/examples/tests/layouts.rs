//! What each layout of files may have in it.

use proptest::prelude::*;

use super::*;
use crate::parquet::tests as rows;

/// Classes with these names.
fn naming(names: &[&str]) -> Labelling {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Labelling { class_names: Some(names), ..Labelling::default() }
}

#[test]
fn samples_in_all_their_forms() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.tar");
    let named = naming(&["cat", "dog", "cow"]);
    let content = archive(&[
        member("a/one.JPG", b'0', b"1"),
        member("a/one.json", b'0', br#"{"label": "dog", "width": 3}"#),
        member("a/one.txt", b'0', b"a caption"),
        member("a/.hidden", b'0', b"no"),
        member("b/one.cls", b'0', b"2\n"),
        member("b/one.seg.png", b'0', b"no"),
        member("b/one.webp", b'0', b"22"),
        member("link.jpg", b'2', b""),
        member("b/", b'5', b""),
        member("two.txt", b'0', b"cat"),
        member("two.jpeg", b'0', b"333"),
        member("/etc/x.jpg", b'0', b"no"),
        member("notes", b'0', b"no"),
        member("lonely.cls", b'0', b"1"),
    ]);
    fs::write(&path, content).expect("a shard");
    let examples = open_with(&path, &named, None).0.expect("a shard");
    let labels: Vec<Label> = (0..examples.len()).map(|at| examples.label(at).expect("a label")).collect();
    assert_eq!(labels, [Label::One(1), Label::One(2), Label::One(0)]);
    assert_eq!((0..3).map(|at| read(&examples, at).len()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((examples.per_class(), examples.classes()), (&[1, 1, 1][..], 3));
    assert_eq!(examples.class_names(), ["cat", "dog", "cow"]);
    let passed = Passed { links: 1, outside: 1, special: 0, folders: 1, no_picture: 1, other: 2 };
    assert_eq!(examples.passed_over(), passed);
    refused(&path, &Labelling::default(), "wrong labels");
}

#[test]
fn wrong_samples_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.tar");
    let write = |members: &[Vec<u8>]| fs::write(&path, archive(members)).expect("a shard");
    let jpg = |name: &str| member(name, b'0', b"picture");
    let usual = Labelling::default();
    write(&[jpg("a.jpg"), member("a.cls", b'0', b"1"), jpg("b.jpg")]);
    refused(&path, &usual, "x.tar: b: no label: neither .cls");
    write(&[jpg("a.jpg"), member("a.cls", b'0', b"10000001")]);
    refused(&path, &usual, "x.tar: a: a label is to be from 0 to 10000000");
    write(&[jpg("a.jpg"), jpg("a.png"), member("a.cls", b'0', b"1")]);
    refused(&path, &usual, "x.tar: a: two pictures");
    write(&[jpg("a.jpg"), member("a.json", b'0', br#"{"label": 1}"#)]);
    let field = |field: &str| Labelling { label_field: Some(field.to_owned()), ..Labelling::default() };
    refused(&path, &field("class"), "no .json with the field \"class\"");
    write(&[jpg("a.jpg"), member("a.cls", b'0', b"1"), member("a.json", b'0', br#"{"class": 4}"#)]);
    assert_eq!(open_with(&path, &field("class"), None).0.expect("a shard").label(0).expect("a label"), Label::One(4));
    write(&[jpg("a.jpg"), member("a.cls", b'0', b"3, 1 3")]);
    let many = Labelling { multi_label: true, ..Labelling::default() };
    let examples = open_with(&path, &many, None).0.expect("a shard");
    assert_eq!(examples.label(0).expect("labels"), Label::Many(vec![3, 1]));
    assert_eq!(examples.per_class(), [0, 1, 0, 1]);
    assert_eq!(open_with(&path, &many, None).1, 0);
    write(&[member("a.cls", b'0', b"1")]);
    refused(&path, &usual, "no pictures");
    fs::write(&path, &archive(&[jpg("a.jpg")])[..1024]).expect("a shard");
    refused(&path, &usual, "x.tar: no end mark");
}

#[test]
fn patterns_that_name_nothing_usable() {
    let folder = tempfile::tempdir().expect("a folder");
    shards(folder.path());
    fs::write(folder.path().join("x.tar.gz"), "").expect("a file");
    fs::write(folder.path().join("x.zip"), "").expect("a file");
    fs::write(folder.path().join("x.parquet"), "").expect("a file");
    let usual = Labelling::default();
    refused(&folder.path().join("x-{000..009}.tar"), &usual, "5 of 10 files are not there, the first is x-005.tar");
    refused(&folder.path().join("y.tar"), &usual, "y.tar is not there");
    refused(&folder.path().join("x.tar.gz"), &usual, "unpack it once");
    refused(&folder.path().join("x.zip"), &usual, "ends neither in .tar nor in .parquet");
    refused(&folder.path().join("{x-000.tar,x.parquet}"), &usual, "together");
    refused(&folder.path().join("x.parquet"), &usual, "x.parquet: EOF");
    refused(folder.path(), &usual, "for shards name the files");
}

/// A tree of folders, with what is not to be read in it.
fn tree(root: &Path) {
    for (name, content) in [
        ("cat/b.jpg", "b"),
        ("cat/a.PNG", "aa"),
        ("cat/deep/er/c.webp", "ccc"),
        ("dog/a.jpeg", "dddd"),
        ("dog/notes.txt", "no"),
        ("dog/.hidden.jpg", "no"),
        (".git/x.jpg", "no"),
        ("cover.jpg", "no"),
    ] {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
}

#[test]
fn folders_are_read_by_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("train");
    tree(&root);
    let examples = open(&root);
    let names: Vec<String> = (0..examples.len()).map(|at| examples.name(at).expect("a name")).collect();
    assert_eq!(names, ["cat/a.PNG", "cat/b.jpg", "cat/deep/er/c.webp", "dog/a.jpeg"]);
    assert_eq!((0..4).map(|at| read(&examples, at).len()).collect::<Vec<_>>(), [2, 1, 3, 4]);
    assert_eq!((examples.per_class(), examples.label(3).expect("a label")), (&[3, 1][..], Label::One(1)));
    assert_eq!(examples.class_names(), ["cat", "dog"]);
    assert_eq!(examples.passed_over(), Passed { folders: 1, other: 3, ..Passed::default() });
    examples.advise(0..4);
    let (again, made) = open_with(&root.join(""), &Labelling::default(), None);
    assert_eq!((again.expect("a folder").fingerprint(), made), (examples.fingerprint(), 0));
    assert_eq!(hidden(folder.path()).len(), 1);
    fs::write(root.join("cat/a.PNG"), "longer").expect("a file");
    assert!(matches!(examples.read(0, &mut Vec::new()), Err(DataError::Changed { .. })));
    fs::remove_file(root.join("cat/b.jpg")).expect("removed");
    assert!(matches!(examples.read(1, &mut Vec::new()), Err(DataError::Changed { .. })));
    let (changed, made) = open_with(&root, &Labelling::default(), None);
    let changed = changed.expect("a folder");
    assert!((changed.len(), made) == (3, 5) && changed.fingerprint() != examples.fingerprint());
    assert_eq!(read(&changed, 0), b"longer");
}

#[test]
fn folders_that_cannot_be_read_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("train");
    tree(&root);
    let examples = open_with(&root, &naming(&["dog", "cow", "cat"]), None).0.expect("a folder");
    assert_eq!((examples.per_class(), examples.label(0).expect("a label")), (&[1, 0, 3][..], Label::One(2)));
    refused(&root, &naming(&["dog"]), "the folder \"cat\" is not among the 1 class names");
    refused(&root, &Labelling { label_field: Some("x".to_owned()), ..Labelling::default() }, "label_field cannot be");
    refused(&root, &Labelling { multi_label: true, ..Labelling::default() }, "multi_label cannot be set");
    std::os::unix::fs::symlink("nowhere.jpg", root.join("cat/link.jpg")).expect("a link");
    refused(&root, &Labelling::default(), "link.jpg");
    fs::remove_file(root.join("cat/link.jpg")).expect("removed");
    std::os::unix::fs::symlink("b.jpg", root.join("cat/link.jpg")).expect("a link");
    std::os::unix::fs::symlink("cat", root.join("tiger")).expect("a link");
    assert_eq!(open(&root).per_class(), [4, 1, 4]);
    std::os::unix::fs::symlink(&root, root.join("cat/loop")).expect("a link");
    refused(&root, &Labelling::default(), "a link that leads back");
}

#[test]
fn parquet_files_are_read_by_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let pictures = rows::pictures(90, 30);
    let labels = rows::Labels::Numbers((0..90).map(|row| Some(row % 2)).collect());
    let path = |at: usize| folder.path().join(format!("train-{at}.parquet"));
    let content = rows::file(&pictures, &labels, rows::USUAL, true);
    (0..2).for_each(|at| fs::write(path(at), &content).expect("a file"));
    let pattern = folder.path().join("train-*.parquet");
    let examples = open(&pattern);
    assert_eq!((examples.len(), examples.per_class()), (180, &[90, 90][..]));
    assert_eq!(
        (examples.class_names(), examples.name(95).expect("a name")),
        (&["cat".to_owned(), "dog".to_owned()][..], "train-1.parquet row 5".to_owned())
    );
    examples.advise(0..180);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for at in (0..180).map(|at| at * 37 % 180) {
                    let mut bytes = Vec::new();
                    match (examples.read(at as u64, &mut bytes), &pictures[at % 90]) {
                        (Ok(()), Some(picture)) => assert_eq!(bytes, *picture),
                        (Err(DataError::Example { example, problem }), None) => {
                            assert!(example.ends_with(&format!("row {}", at % 90)) && problem.contains("null"));
                        }
                        (found, _) => panic!("{found:?}"),
                    }
                }
            });
        }
    });
    assert_eq!(open_with(&pattern, &Labelling::default(), None).1, 0);
    fs::write(path(1), rows::file(&pictures, &labels, rows::USUAL, false)).expect("a file");
    refused(&pattern, &Labelling::default(), "its class names are not those of the first file");
    let wrong = rows::Labels::Numbers((0..90).map(|row| Some(row / 45 * 2)).collect());
    fs::write(path(1), rows::file(&pictures, &wrong, rows::USUAL, true)).expect("a file");
    refused(&pattern, &Labelling::default(), "train-1.parquet row 45: label 2, but there are 2 class names");
    File::options().write(true).open(path(0)).expect("a file").set_len(1000).expect("cut");
    assert!(matches!(examples.read(70, &mut Vec::new()), Err(DataError::Changed { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_shard_makes_it_panic(
        members in proptest::collection::vec(("[ab./]{0,4}[.](jpg|png|cls|json|txt)", prop::sample::select(b"000025".to_vec()), "[0-9 ,]{0,3}|[{]\"label\": ?[0-9]+[}]"), 0..8),
        many: bool,
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.tar");
        let packed = |(name, flag, content): &(String, u8, String)| member(name, *flag, if *flag == b'0' { content.as_bytes() } else { b"" });
        fs::write(&path, archive(&members.iter().map(packed).collect::<Vec<_>>())).expect("a shard");
        let labelling = Labelling { multi_label: many, ..Labelling::default() };
        if let Ok(examples) = open_with(&path, &labelling, None).0 {
            for at in 0..examples.len() {
                prop_assert!(examples.read(at, &mut Vec::new()).is_ok() && examples.label(at).is_ok());
                prop_assert!(examples.name(at).expect("a name").starts_with("x.tar: "));
            }
        }
    }
}
