//! Encoded pictures: sweeps on folders and tar shards, what happens to damaged ones, and the commands that look at data.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use spec::order::mix;

use crate::support::{Lab, tiny};

const TRAIN: u64 = 240;
const HELDOUT: u64 = 60;

/// A PNG of a size of its own, whose class shows in the brightness of a quarter.
fn picture(id: u64) -> Vec<u8> {
    let (wide, high) = (18 + mix(id) % 7, 16 + mix(id ^ 9) % 5);
    let mut pixels = Vec::new();
    for (y, x) in (0..high).flat_map(|y| (0..wide).map(move |x| (y, x))) {
        let quarter = 2 * u64::from(2 * y >= high) + u64::from(2 * x >= wide);
        let signal = if quarter == class(id) { 90 } else { 0 };
        pixels.extend((0..3).map(|channel| (signal + mix(id * 4096 + 64 * y + 3 * x + channel) % 160) as u8));
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, wide as u32, high as u32);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().expect("a small picture");
    writer.write_image_data(&pixels).expect("a small picture");
    writer.finish().expect("a small picture");
    file
}

fn class(id: u64) -> u64 {
    mix(id ^ 77) % 4
}

/// Folders `train` and `val` with a folder for each class.
fn write_folders(root: &Path) {
    for (part, ids) in [("train", 0..TRAIN), ("val", TRAIN..TRAIN + HELDOUT)] {
        for id in ids {
            let folder = root.join(part).join(format!("class-{}", class(id)));
            fs::create_dir_all(&folder).expect("writable");
            fs::write(folder.join(format!("{id:04}.png")), picture(id)).expect("writable");
        }
    }
}

/// The same pictures in four shards and one, each with `label` as its class.
fn write_shards(root: &Path, extension: &str, label: impl Fn(u64) -> String) {
    fs::create_dir_all(root).expect("writable");
    let shard = |name: String, ids: std::ops::Range<u64>| {
        let mut archive = Vec::new();
        for id in ids {
            member(&mut archive, &format!("{id:04}.png"), &picture(id));
            member(&mut archive, &format!("{id:04}.{extension}"), label(id).as_bytes());
        }
        archive.resize(archive.len() + 1024, 0);
        fs::write(root.join(name), archive).expect("writable");
    };
    (0..4).for_each(|at| shard(format!("train-{at:02}.tar"), at * TRAIN / 4..(at + 1) * TRAIN / 4));
    shard("val-00.tar".to_owned(), TRAIN..TRAIN + HELDOUT);
}

/// Appends a member as POSIX's ustar has it.
fn member(archive: &mut Vec<u8>, name: &str, content: &[u8]) {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\u{0}00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive.extend(header);
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

/// One run on `data`.
fn sweep(data: &str) -> String {
    let models = tiny("0.05");
    let model = &models[models.find("[model]").expect("there")..models.find("    { name = \"large\"").expect("there")];
    format!(
        "name = \"pictures\"\n[data]\ndataset = \"quarters\"\nresolution = 8\n{data}\n{model}]\n[grid]\nepochs = [2.5]\nlr = [0.05]\n\
         [train]\nbatch = 16\nagc_lambda = 0.1\nflip = true\ninception_crop = 0.3\nrand_augment = {{ layers = 1, magnitude = 5 }}\n\
         [resources]\nloader_threads = 3\n[policy]\ncheckpoint_seconds = 0.05\n"
    )
}

/// The hash of the final state of the only run.
fn state_hash(lab: &Lab, state: &str) -> String {
    let journals: String = lab.journals(state).into_values().collect();
    let (_, rest) = journals.split_once("\"state_hash\":\"").unwrap_or_else(|| panic!("no result in {journals}"));
    rest[..rest.find('"').expect("its end")].to_owned()
}

#[test]
fn folders_and_shards_train_the_same_run_and_kills_change_nothing() {
    let Some(lab) = Lab::new() else { return };
    write_folders(&lab.path("folders"));
    write_shards(&lab.path("shards"), "cls", |id| class(id).to_string());
    for (name, data) in [
        ("folders", "directory = \"folders\""),
        ("shards", "train = \"shards/train-{00..03}.tar\"\nheldout = \"shards/val-00.tar\""),
        ("blocks", "directory = \"shards\"\nblocks = { examples = 16, open = 4 }"),
    ] {
        lab.write(&format!("{name}.toml"), &sweep(data));
        lab.scalelaw(name, &["run", &format!("{name}.toml")]).check(0, &["held-out loss"]);
        let said = lab.scalelaw(name, &["verify", "samples"]);
        said.check(0, &[]);
        assert!(said.out.contains("each example exactly once in every epoch (3 epochs, 1 run)"), "{}", said.out);
    }
    // A folder's examples stand in another order than a shard's, so these are two data sets; blocks are a third run.
    let calm = ["folders", "shards", "blocks"].map(|name| state_hash(&lab, name));
    assert!(calm[0] != calm[1] && calm[1] != calm[2]);
    // Attempts have other numbers of threads, too, and are killed in the middle of an epoch.
    for (state, name, threads) in [("killed-blocks", "blocks", 1), ("killed-folders", "folders", 0)] {
        let text = fs::read_to_string(lab.path(&format!("{name}.toml"))).expect("just written");
        let other = text.replace("loader_threads = 3", &format!("loader_threads = {threads}"));
        lab.write("other.toml", &other);
        // On a fast machine the run may be over before the third kill.
        let kills = (0..3).filter(|_| interrupt(&lab, state, "other.toml")).count();
        assert!(kills > 0, "{state}: it was never killed");
        lab.scalelaw(state, &["run", "other.toml"]).check(0, &[]);
        let expected = if name == "blocks" { &calm[2] } else { &calm[0] };
        assert_eq!(&state_hash(&lab, state), expected, "{state}");
    }
}

/// Starts the sweep and kills its scheduler, and with it the worker, once the worker has trained a little. Whether it came to that.
fn interrupt(lab: &Lab, state: &str, sweep: &str) -> bool {
    let mut scheduler = lab.command(state, &["run", sweep]).spawn().expect("scalelaw starts");
    let steps =
        |lab: &Lab| lab.journals(state).values().map(|text| text.matches("\"checkpoint\"").count()).sum::<usize>();
    let (before, began) = (steps(lab), Instant::now());
    while steps(lab) == before && scheduler.try_wait().expect("our own child").is_none() {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not get on");
        std::thread::sleep(Duration::from_millis(2));
    }
    let works = scheduler.try_wait().expect("our own child").is_none();
    if works {
        let pid = Pid::from_raw(scheduler.id() as i32).expect("our own child");
        kill_process(pid, Signal::KILL).expect("our own child");
    }
    scheduler.wait().expect("our own child");
    works
}

#[test]
fn damaged_pictures_end_a_run_or_are_left_out_and_listed() {
    let Some(lab) = Lab::new() else { return };
    write_folders(&lab.path("pics"));
    // One is cut short, one is no picture at all; both are trained on.
    let ids: Vec<u64> = (0..TRAIN).filter(|id| class(*id) == 1).take(2).collect();
    let path = |id: u64| lab.path("pics/train/class-1").join(format!("{id:04}.png"));
    let whole = fs::read(path(ids[0])).expect("just written");
    fs::write(path(ids[0]), &whole[..whole.len() / 2]).expect("writable");
    fs::write(path(ids[1]), "<html>404</html>").expect("writable");

    let said = lab.scalelaw("none", &["data", "verify", "pics"]);
    said.check(1, &["2 pictures of 300 damaged (0.667 %)", "data.skip_damaged"]);
    assert!(
        said.out.contains(&format!("class-1/{:04}.png", ids[0])) && said.out.contains("ends before"),
        "{}",
        said.out
    );
    assert!(said.out.contains("neither JPEG nor PNG nor WebP"), "{}", said.out);

    lab.write("strict.toml", &sweep("directory = \"pics\""));
    lab.scalelaw("strict", &["run", "strict.toml"])
        .check(1, &["class-1/", "data.skip_damaged", "scalelaw data verify"]);

    lab.write("few.toml", &sweep("directory = \"pics\"\nskip_damaged = 0.005"));
    lab.scalelaw("few", &["run", "few.toml"]).check(1, &["more examples of epoch 0 are damaged than the 1"]);

    lab.write("skip.toml", &sweep("directory = \"pics\"\nskip_damaged = 0.01"));
    lab.scalelaw("skip", &["run", "skip.toml"]).check(0, &["held-out loss"]);
    let said = lab.scalelaw("skip", &["verify", "samples", "--json"]);
    said.check(0, &[]);
    let skipped = said.json()["skipped"].as_array().expect("a list").clone();
    // Two whole epochs have both; the half epoch has those that its first half draws.
    assert!((4..=6).contains(&skipped.len()), "{skipped:?}");
    for _ in 0..3 {
        interrupt(&lab, "again", "skip.toml");
    }
    lab.scalelaw("again", &["run", "skip.toml"]).check(0, &[]);
    assert_eq!(state_hash(&lab, "again"), state_hash(&lab, "skip"), "the same are left out");
    assert_eq!(lab.scalelaw("again", &["verify", "samples", "--json"]).json()["skipped"].as_array(), Some(&skipped));

    // A damaged picture that is held out makes losses incomparable, whatever may be left out.
    let held_out = (TRAIN..TRAIN + HELDOUT).find(|id| class(*id) == 2).expect("one of them");
    let path = lab.path("pics/val/class-2").join(format!("{held_out:04}.png"));
    fs::write(&path, "").expect("writable");
    // Written over, not new: the folder looks as it did, so the index has to be told.
    lab.scalelaw("heldout", &["run", "skip.toml"]).check(1, &["class-2/", "scalelaw data index"]);
    lab.scalelaw("heldout", &["data", "index", "skip.toml"]).check(0, &[]);
    lab.scalelaw("heldout", &["run", "skip.toml"]).check(1, &["class-2/", "no picture"]);
}

#[test]
fn a_shard_that_shrinks_ends_the_run_and_says_so() {
    let Some(lab) = Lab::new() else { return };
    write_shards(&lab.path("pics"), "cls", |id| class(id).to_string());
    // Enough epochs that the shard shrinks while they are trained.
    lab.write("pictures.toml", &sweep("directory = \"pics\"").replace("[2.5]", "[400]"));
    let scheduler = lab.command("state", &["run", "pictures.toml"]).stderr(std::process::Stdio::piped()).spawn();
    let scheduler = scheduler.expect("scalelaw starts");
    let began = Instant::now();
    while !lab.journals("state").values().any(|text| text.contains("\"checkpoint\"")) {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not get on");
        std::thread::sleep(Duration::from_millis(5));
    }
    let shard = lab.path("pics/train-02.tar");
    let length = fs::metadata(&shard).expect("there").len();
    fs::OpenOptions::new().write(true).open(&shard).and_then(|file| file.set_len(length / 3)).expect("writable");
    let said = crate::support::Said::of(&scheduler.wait_with_output().expect("our own child"));
    said.check(1, &["train-02.tar"]);
}

#[test]
fn examples_with_any_number_of_classes_are_trained() {
    let Some(lab) = Lab::new() else { return };
    let classes = |id: u64| {
        if id.is_multiple_of(3) {
            format!("[{}, {}]", class(id), (class(id) + 1) % 4)
        } else {
            format!("[{}]", class(id))
        }
    };
    write_shards(&lab.path("pics"), "json", |id| format!("{{\"labels\": {}}}", classes(id)));
    lab.write("many.toml", &sweep("directory = \"pics\"\nmulti_label = true"));
    lab.scalelaw("state", &["run", "many.toml"]).check(0, &["held-out loss"]);
    let loss: f64 = lab.runs("state")[0]["heldout_loss_nats"].parse().expect("a number");
    // Four questions that nobody knows anything of cost 4 ln 2 = 2.77.
    assert!((0.5..2.7).contains(&loss), "{loss}");
    let said = lab.scalelaw("state", &["data", "inspect", "many.toml"]);
    said.check(0, &[]);
    assert!(said.out.contains("4 classes, any number for each example"), "{}", said.out);
    lab.write(
        "smooth.toml",
        &sweep("directory = \"pics\"\nmulti_label = true").replace("[train]", "[train]\nlabel_smoothing = 0.1"),
    );
    lab.scalelaw("state", &["plan", "smooth.toml"]).check(2, &["label_smoothing", "multi_label"]);
}

#[test]
fn data_can_be_looked_at_before_anything_is_trained() {
    let lab = Lab::without_worker();
    write_shards(&lab.path("shards"), "cls", |id| class(id).to_string());
    lab.write("names.txt", "cat\ndog\ncow\nemu\n");
    lab.write("pictures.toml", &sweep("directory = \"shards\"\nclass_names = \"names.txt\""));
    let pattern = "shards/train-{00..03}.tar";
    let said = lab.scalelaw("none", &["data", "index", pattern, "--heldout", "shards/val-00.tar"]);
    said.check(0, &[]);
    assert!(said.out.contains("240 examples to train on and 60 held out are indexed"), "{}", said.out);
    let json = lab.scalelaw("none", &["data", "inspect", "pictures.toml", "--json"]).json();
    assert_eq!((&json["train_examples"], &json["class_names"][3]), (&240.into(), &"emu".into()));
    assert_eq!(json["mean"], serde_json::json!([0.485, 0.456, 0.406]));
    let said = lab.scalelaw("none", &["data", "head", "pictures.toml", "--count", "3", "--out", "sheets/a.png"]);
    said.check(0, &[]);
    let sheet = png::Decoder::new(std::io::Cursor::new(fs::read(lab.path("sheets/a.png")).expect("drawn")));
    let info = sheet.read_info().expect("a PNG").info().clone();
    assert!(info.width > 5 * 96 && info.height > 3 * 96, "{} x {}", info.width, info.height);
    let json = lab.scalelaw("none", &["data", "bench", "shards", "--seconds", "0.05", "--batch", "8", "--json"]).json();
    assert!(
        json["pictures_per_second"].as_f64() > Some(0.0) && json["share_of_decoder"].as_f64() > Some(0.0),
        "{json}"
    );

    lab.scalelaw("none", &["data", "head", "shards", "--from", "240"]).check(2, &["there are 240 examples"]);
    lab.scalelaw("none", &["data", "inspect", "nowhere"]).check(2, &["nowhere: no such folder", "a pattern such as"]);
    lab.scalelaw("none", &["data", "inspect", "shards/x-{0..2}.tar"]).check(3, &["3 of 3 files are not there"]);
    lab.scalelaw("none", &["data", "inspect", "pictures.toml", "--multi-label"]).check(2, &["without a sweep file"]);
    fs::create_dir(lab.path("empty")).expect("writable");
    lab.scalelaw("none", &["data", "inspect", "empty"]).check(3, &["holds no data set", "train*.tar"]);
    let wrong = sweep("directory = \"shards\"").replace("resolution = 8\n", "");
    lab.write("wrong.toml", &wrong);
    lab.scalelaw("none", &["plan", "wrong.toml"]).check(2, &["data.resolution is missing", "differ in size"]);
}
