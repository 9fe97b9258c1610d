//! Fetching a public data set onto a fresh machine, from whichever source answers, verified by hash.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::DataError;
use crate::dataset::FILES;
use crate::idx;

/// SHA-256 of the four files, unpacked, in the order of [`FILES`].
const FASHION_MNIST: [&str; 4] = [
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
];

/// The user's cache, shared by all checkouts; `None` where neither XDG_CACHE_HOME nor HOME says where it is.
pub fn user_cache() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("scalelaw"))
}

/// The folder of a data set in the user's cache.
pub fn cached(cache: &Path, dataset: &str) -> PathBuf {
    cache.join("data").join(dataset)
}

/// Puts the data set into the cache unless it is there, and returns its folder. `say` is told what is being tried.
pub fn fetch(cache: &Path, dataset: &str, say: &dyn Fn(&str)) -> Result<PathBuf, DataError> {
    if dataset != "fashion-mnist" {
        return Err(DataError::Unknown(dataset.to_owned()));
    }
    let home = cached(cache, dataset);
    if is_whole(&home) {
        return Ok(home);
    }
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| DataError::Io { path, source }
    };
    let parent = cache.join("data");
    fs::create_dir_all(&parent).map_err(io(&parent))?;
    let work = tempfile::Builder::new().prefix("fetch-").tempdir_in(&parent).map_err(io(&parent))?;
    let mut tried = Vec::new();
    for (source, get) in SOURCES {
        say(&format!("fetching fashion-mnist: {source}"));
        let folder = work.path().join("raw");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(io(&folder))?;
        match get(&folder).and_then(|files| unpack(&files, &work.path().join("done"))) {
            Ok(done) => {
                // What is there is not whole, or we would not be here; unless somebody else has been faster meanwhile, and
                // then their copy is as good.
                if !is_whole(&home) {
                    let _ = fs::remove_dir_all(&home);
                    fs::rename(&done, &home).map_err(io(&home))?;
                }
                return Ok(home);
            }
            Err(why) => tried.push(((*source).to_owned(), why)),
        }
    }
    Err(DataError::Unavailable { dataset: dataset.to_owned(), tried })
}

/// Whether the four files are there and are what they should be.
fn is_whole(home: &Path) -> bool {
    let right =
        |(name, expected): (&&str, &str)| fs::read(home.join(name)).is_ok_and(|content| sha256(&content) == expected);
    FILES.iter().zip(FASHION_MNIST).all(right)
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

type Get = fn(&Path) -> Result<PathBuf, String>;

const SOURCES: &[(&str, Get)] =
    &[("Debian's package dataset-fashion-mnist", from_debian), ("its public home", from_home)];

/// Needs no root: the package is downloaded and unpacked, not installed.
fn from_debian(folder: &Path) -> Result<PathBuf, String> {
    let package = "dataset-fashion-mnist";
    if run(Command::new("apt-get").args(["--quiet", "download", package]).current_dir(folder)).is_err() {
        // The machine may have no package lists yet; a private copy of them needs no root either.
        let lists = folder.join("apt");
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(lists.join(part)).map_err(|error| error.to_string())?;
        }
        let private = [
            format!("-oDir::State::Lists={}", lists.join("lists").display()),
            format!("-oDir::Cache={}", lists.join("cache").display()),
            "-oDebug::NoLocking=1".to_owned(),
        ];
        run(Command::new("apt-get").args(&private).args(["--quiet", "update"]))?;
        run(Command::new("apt-get").args(&private).args(["--quiet", "download", package]).current_dir(folder))?;
    }
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    let deb =
        entries.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|ending| ending == "deb"));
    let deb = deb.ok_or("apt-get left no package behind")?;
    let unpacked = folder.join("unpacked");
    run(Command::new("dpkg").arg("-x").arg(deb).arg(&unpacked))?;
    Ok(unpacked.join("usr/share/datasets/fashion-mnist"))
}

fn from_home(folder: &Path) -> Result<PathBuf, String> {
    const HOME: &str = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com";
    for name in FILES {
        let (url, file) = (format!("{HOME}/{name}.gz"), folder.join(format!("{name}.gz")));
        run(Command::new("curl")
            .args(["--fail", "--silent", "--show-error", "--location", "--connect-timeout", "20", "-o"])
            .arg(file)
            .arg(url))?;
    }
    Ok(folder.to_owned())
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}", said.lines().last().unwrap_or("failed without a word")))
}

/// Checks the four files against their hashes and lays them, unpacked, into `done`.
fn unpack(files: &Path, done: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(done).map_err(|error| error.to_string())?;
    for (name, expected) in FILES.iter().zip(FASHION_MNIST) {
        let array = idx::read(&files.join(name), "the source does not have it").map_err(|error| error.to_string())?;
        let content = serialise(&array);
        let found = sha256(&content);
        if found != expected {
            return Err(format!("{name}: SHA-256 {found}, expected {expected}"));
        }
        fs::write(done.join(name), content).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(done.to_owned())
}

fn serialise(array: &idx::Idx) -> Vec<u8> {
    let mut content = vec![0, 0, 8, array.shape.len() as u8];
    array.shape.iter().for_each(|size| content.extend((*size as u32).to_be_bytes()));
    content.extend(&array.bytes);
    content
}

/// The classes of Fashion-MNIST, as its authors name them.
pub const FASHION_MNIST_CLASSES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// What is known of Fashion-MNIST without opening it, so that a sweep can be priced before the data are there.
pub fn fashion_mnist_facts() -> spec::plan::DatasetFacts {
    spec::plan::DatasetFacts {
        fingerprint: "78142a51ecca1d058f8de07b29f31c06".to_owned(),
        train_examples: 60_000,
        heldout_examples: 10_000,
        channels: 1,
        resolution: Some(28),
        classes: 10,
        mean: spec::run::PerChannel::All(0.286),
        std: spec::run::PerChannel::All(0.353),
        per_class: vec![[6000, 1000]; 10],
        multi_label: false,
    }
}
