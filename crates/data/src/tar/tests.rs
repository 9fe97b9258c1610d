use std::process::Command;

use proptest::prelude::*;

use super::*;

/// Makes the checksum of a header right.
fn seal(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u64 = header[..512].iter().map(|byte| u64::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A member with its content and padding.
pub(crate) fn member(name: &str, flag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes[100..108].copy_from_slice(b"0000644\0");
    bytes[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    bytes[156] = flag;
    bytes[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut bytes);
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Members and the end mark.
pub(crate) fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}

/// A PAX header with one record.
pub(crate) fn pax(flag: u8, key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let length = (1..7).find(|digits| (rest.len() + digits).to_string().len() == *digits).expect("a short record");
    member("pax", flag, format!("{}{rest}", rest.len() + length).as_bytes())
}

/// A member whose header is changed after it was made.
fn changed(mut member: Vec<u8>, change: impl Fn(&mut [u8])) -> Vec<u8> {
    change(&mut member);
    seal(&mut member);
    member
}

#[track_caller]
fn check(content: &[u8], expected: Result<&[(&str, Kind, u64)], &str>) {
    match (parse_tar(content), expected) {
        (Ok(found), Ok(expected)) => {
            let found: Vec<(String, Kind, u64)> = found
                .into_iter()
                .map(|member| (String::from_utf8(member.name).expect("a text"), member.kind, member.length))
                .collect();
            let expected: Vec<_> =
                expected.iter().map(|(name, kind, size)| ((*name).to_owned(), *kind, *size)).collect();
            assert_eq!(found, expected);
        }
        (Err(found), Err(expected)) => assert!(found.to_string().contains(expected), "{found}"),
        (found, expected) => panic!("{found:?} is not {expected:?}"),
    }
}

#[test]
fn kinds_of_members() {
    let v7 = |name: &str| changed(member(name, 0, b""), |header| header[257..265].fill(0));
    check(
        &archive(&[
            member("./a/x.jpg", b'0', b"picture"),
            member("old", 0, b"1"),
            member("7", b'7', b"12"),
            member("/etc/passwd", b'0', b"no"),
            member("a/../../b", b'0', b"no"),
            member("a..b", b'0', b""),
            member("hard", b'1', b""),
            member("soft", b'2', b""),
            member("device", b'3', b""),
            member("pipe", b'6', b""),
            member("a/", b'5', b""),
            v7("folder/"),
            member("label", b'V', b""),
        ]),
        Ok(&[
            ("a/x.jpg", Kind::File, 7),
            ("old", Kind::File, 1),
            ("7", Kind::File, 2),
            ("/etc/passwd", Kind::Outside, 2),
            ("a/../../b", Kind::Outside, 2),
            ("a..b", Kind::File, 0),
            ("hard", Kind::Link, 0),
            ("soft", Kind::Link, 0),
            ("device", Kind::Special, 0),
            ("pipe", Kind::Special, 0),
            ("a/", Kind::Folder, 0),
            ("folder/", Kind::Folder, 0),
            ("label", Kind::Special, 0),
        ]),
    );
    check(&archive(&[]), Ok(&[]));
    // One block of zeros at the end of the file is an end too.
    check(&vec![0; 512], Ok(&[]));
}

#[test]
fn names_and_sizes_of_all_formats() {
    let long = "d/".repeat(80) + "x.jpg";
    let prefixed = changed(member("x.jpg", b'0', b"1"), |header| header[345..350].copy_from_slice(b"a/b/c"));
    let gnu = changed(prefixed.clone(), |header| header[257..265].copy_from_slice(b"ustar  \0"));
    let base_256 = changed(member("big", b'0', b"12345"), |header| {
        header[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
    });
    let unsized_ = changed(member("sized", b'0', b"123"), |header| header[124..136].copy_from_slice(b"00000000000\0"));
    check(
        &archive(&[
            prefixed,
            gnu,
            member("././@LongLink", b'L', format!("{long}\0").as_bytes()),
            member("cut", b'0', b"12"),
            member("././@LongLink", b'K', b"target\0"),
            member("link", b'2', b""),
            base_256,
            pax(b'x', "path", &long),
            member("cut", b'0', b"123"),
            pax(b'x', "size", "3"),
            unsized_,
            pax(b'g', "comment", "made by hand"),
            pax(b'x', "mtime", "1.5"),
            member("plain", b'0', b""),
        ]),
        Ok(&[
            ("a/b/c/x.jpg", Kind::File, 1),
            ("x.jpg", Kind::File, 1),
            (&long, Kind::File, 2),
            ("link", Kind::Link, 0),
            ("big", Kind::File, 5),
            (&long, Kind::File, 3),
            ("sized", Kind::File, 3),
            ("plain", Kind::File, 0),
        ]),
    );
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let file = || member("x.jpg", b'0', b"picture");
    let many = |member: Vec<u8>| archive(&[member, file()]);
    check(&many(pax(b'x', "size", "9")), Err("two sizes, 7 in its header and 9 before it"));
    check(&many(pax(b'g', "size", "9")), Err("global PAX header"));
    check(&many(pax(b'g', "path", "y")), Err("global PAX header"));
    check(&many(pax(b'x', "GNU.sparse.major", "1")), Err("sparse"));
    check(&archive(&[member("x", b'S', b"")]), Err("sparse"));
    check(&archive(&[member("x", b'M', b"")]), Err("another volume"));
    check(&archive(&[member("x", b'2', b"content")]), Err("can have no content"));
    check(&archive(&[pax(b'x', "size", "512"), member("x", b'1', b"")]), Err("can have no content"));
    check(&archive(&[pax(b'x', "path", "a"), pax(b'x', "path", "b"), file()]), Err("two PAX headers"));
    check(&archive(&[member("L", b'L', b"a"), member("L", b'L', b"b"), file()]), Err("two long names"));
    check(&archive(&[member("L", b'L', b"a"), pax(b'x', "path", "b"), file()]), Err("two long names"));
    check(&archive(&[file(), pax(b'x', "path", "a")]), Err("ends after a header"));
    check(&[archive(&[file()]), archive(&[file()])].concat(), Err("more behind the end"));
    check(&many(pax(b'x', "path", "a\0b")), Err("null byte"));
    check(&many(pax(b'x', "size", "-1")), Err("no number"));
    check(&many(member("pax", b'x', b"99 path=x\n")), Err("PAX header is malformed"));
    check(&many(member("pax", b'x', b"path=x\n")), Err("PAX header is malformed"));
    check(&many(pax(b'x', "path", &"n".repeat(5000))), Err("a name of 5000 bytes"));
    check(&many(member("L", b'L', &[b'n'; 5000])), Err("a long name of 5000 bytes"));
    check(&many(member("pax", b'x', &vec![b'n'; 2 << 20])), Err("a PAX header of 2097152 bytes"));
}

#[test]
fn damage_is_noticed() {
    let whole = archive(&[member("x.jpg", b'0', &[7; 1000]), member("y.jpg", b'0', b"1")]);
    check(&whole[..1000], Err("truncated: x.jpg needs 1000 bytes at byte 512, 488 are there"));
    check(&whole[..1800], Err("truncated: a header at byte 1536 needs 512 bytes, 264 are there"));
    check(&whole[..1536], Err("no end mark"));
    check(&whole[..2560], Err("no end mark"));
    check(&whole[..2049], Err("no end mark"));
    check(b"", Err("no end mark"));
    check(b"\x1f\x8b\x08", Err("truncated"));
    check(&[b'P'; 512], Err("no tar header"));
    let mut bent = whole.clone();
    bent[3] ^= 1;
    check(&bent, Err("the header at byte 0 is damaged"));
    let negative = changed(member("x", b'0', b""), |header| header[124..136].fill(0xff));
    check(&archive(&[negative]), Err("negative"));
    let huge = changed(member("x", b'0', b""), |header| {
        header[124..136].fill(0x7f);
        header[124] = 0x80;
    });
    check(&archive(&[huge]), Err("too large"));
    let signed = member("x\u{e9}", b'0', b"");
    check(&archive(&[signed]), Ok(&[("x\u{e9}", Kind::File, 0)]));
}

/// Writes members of all sizes and lengths of names by Python, in each of its formats, and says where it put them.
const SCRIPT: &str = r#"
import io, sys, tarfile
for format, name in ((tarfile.USTAR_FORMAT, "ustar"), (tarfile.GNU_FORMAT, "gnu"), (tarfile.PAX_FORMAT, "pax")):
    path = f"{sys.argv[1]}/{name}.tar"
    with tarfile.open(path, "w", format=format) as archive:
        for at in range(300):
            long = "d" * 60 + "/" + "e" * (1 + at % 120) if at % 7 == 0 and name != "ustar" else "f"
            member = tarfile.TarInfo(f"{long}/{at:06d}." + ("jpg" if at % 2 else "é"))
            member.size = at * at % 5000
            archive.addfile(member, io.BytesIO(bytes([at % 251]) * member.size))
        link = tarfile.TarInfo("link"); link.type = tarfile.SYMTYPE; link.linkname = "x" * 150 if name != "ustar" else "x"
        archive.addfile(link)
        folder = tarfile.TarInfo("folder"); folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isreg():
                print(name, member.offset_data, member.size, member.name)
"#;

#[test]
fn members_are_where_python_put_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let python =
        Command::new("python3").args(["-c", SCRIPT]).arg(folder.path()).env("PYTHONIOENCODING", "utf-8").output();
    // Not every machine has Python.
    let Some(python) = python.ok().filter(|python| python.status.success()) else { return };
    let expected = String::from_utf8(python.stdout).expect("text");
    let mut found = String::new();
    for format in ["ustar", "gnu", "pax"] {
        let content = std::fs::read(folder.path().join(format!("{format}.tar"))).expect("an archive");
        for member in parse_tar(&content).expect("an archive").into_iter().filter(|member| member.kind == Kind::File) {
            let name = String::from_utf8(member.name).expect("a text");
            found += &format!("{format} {} {} {name}\n", member.offset, member.length);
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn members_are_what_gnu_tar_packed() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = "n".repeat(200);
    for name in ["a.jpg", "b.jpg", &long] {
        std::fs::write(folder.path().join(name), name.repeat(300)).expect("a file");
    }
    for format in ["gnu", "ustar", "pax", "v7"] {
        let path = folder.path().join("packed.tar");
        let names =
            if matches!(format, "gnu" | "pax") { vec!["a.jpg", "b.jpg", &long] } else { vec!["a.jpg", "b.jpg"] };
        let packed = Command::new("tar")
            .arg(format!("--format={format}"))
            .arg("-C")
            .arg(folder.path())
            .arg("-cf")
            .arg(&path)
            .args(&names)
            .status();
        // Not every machine has GNU tar.
        if !packed.is_ok_and(|status| status.success()) {
            return;
        }
        let content = std::fs::read(&path).expect("an archive");
        let members = parse_tar(&content).expect("an archive");
        assert_eq!(members.len(), names.len());
        for (member, name) in members.iter().zip(names) {
            assert_eq!(member.name, name.as_bytes());
            let place = member.offset as usize..(member.offset + member.length) as usize;
            assert_eq!(&content[place], name.repeat(300).as_bytes());
        }
    }
}

proptest! {
    #[test]
    fn no_content_makes_it_panic(content in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = parse_tar(&content);
    }

    #[test]
    fn no_header_makes_it_panic(
        changes in proptest::collection::vec((0..1024_usize, any::<u8>()), 0..8), flag in prop::sample::select(b"0125xgLKSMV\0".to_vec()),
        body in "[0-9]{1,3} (path|size)=[0-9a\\PC]{0,20}\n?",
    ) {
        // With right checksums, so that the parser behind them is reached.
        let mut content = archive(&[member("x", flag, body.as_bytes()), member("x.jpg", b'0', b"picture")]);
        for (at, byte) in changes {
            content[at] = byte;
        }
        seal(&mut content);
        if let Ok(members) = parse_tar(&content) {
            for member in members {
                prop_assert!(member.offset + member.length <= content.len() as u64);
            }
        }
    }

    #[test]
    fn what_is_packed_is_found(sizes in proptest::collection::vec(0..9000_usize, 0..20)) {
        let members: Vec<_> = sizes.iter().map(|size| member(&format!("{size}.jpg"), b'0', &vec![1; *size])).collect();
        let content = archive(&members);
        let found = parse_tar(&content).expect("an archive");
        prop_assert_eq!(found.len(), sizes.len());
        for (member, size) in found.iter().zip(sizes) {
            prop_assert_eq!(member.length, size as u64);
            let place = member.offset as usize..(member.offset + member.length) as usize;
            prop_assert!(content[place].iter().all(|byte| *byte == 1));
        }
    }
}
