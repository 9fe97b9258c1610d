//! Reports and comparisons as pages: in a real browser, without network and script.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Lab, Said, shipped};

/// A Chromium, which `make test` sees to. `None`, loudly, where there is none.
fn browser() -> Option<PathBuf> {
    let named = std::env::var_os("SCALELAW_CHROMIUM").map(PathBuf::from).filter(|path| path.is_file());
    if named.is_none() {
        let message = "SCALELAW_CHROMIUM names no browser: scripts/chromium.sh gets one and prints its path";
        assert!(std::env::var_os("SCALELAW_REQUIRE_BROWSER").is_none(), "{message}");
        println!("NOT TESTED: {message}");
    }
    named
}

/// Opens a page of the laboratory in the browser and does what `arguments` say with it.
fn open(browser: &Path, lab: &Lab, page: &str, arguments: &[&str]) -> Said {
    let profile = format!("--user-data-dir={}", lab.path("profile").display());
    let mut command = Command::new(browser);
    // Containers give no name spaces to build a sandbox from; the page is our own.
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]);
    command.args(["--disable-component-update", "--disable-sync", "--disable-quic", "--disable-dev-shm-usage"]);
    command.args(["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", &profile]);
    command.args(arguments).arg(format!("file://{}", lab.path(page).display())).stdin(Stdio::null());
    Said::of(&command.output().expect("the browser starts"))
}

/// Lines in which the browser complains of a page: what it could not load, what it refused, what threw.
fn complaints(said: &Said) -> Vec<&str> {
    said.err.lines().filter(|line| line.contains("CONSOLE")).collect()
}

/// Width, height and the share of pixels that are not white of a PNG.
fn ink(path: &Path) -> (u32, u32, f64) {
    let file = std::io::BufReader::new(std::fs::File::open(path).expect("a picture"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("small")];
    let info = reader.next_frame(&mut pixels).expect("whole");
    let channels = info.color_type.samples();
    let dark = pixels[..info.buffer_size()]
        .chunks(channels)
        .filter(|pixel| pixel[..3.min(channels)].iter().any(|part| *part < 200));
    (info.width, info.height, dark.count() as f64 / f64::from(info.width * info.height))
}

/// The browser shows the page without a complaint: its title and headings, all figures, and on paper too.
fn check_page(browser: &Path, lab: &Lab, page: &str, title: &str, figures: usize) {
    let shown = open(browser, lab, page, &["--dump-dom"]);
    assert_eq!((shown.code, complaints(&shown)), (Some(0), Vec::new()), "{}", shown.err);
    assert!(shown.out.contains(&format!("<h1>{title}</h1>")), "{}", shown.out);
    assert_eq!(shown.out.matches("<svg").count(), figures);
    let picture = lab.path("page.png");
    let screenshot = format!("--screenshot={}", picture.display());
    let taken = open(browser, lab, page, &[&screenshot, "--window-size=1000,3000", "--hide-scrollbars"]);
    assert_eq!((taken.code, complaints(&taken)), (Some(0), Vec::new()), "{}", taken.err);
    let (width, height, ink) = ink(&picture);
    assert!((width, height) == (1000, 3000) && (0.01..0.5).contains(&ink), "{width} x {height}, {ink}");
    let paper = lab.path("page.pdf");
    let print = format!("--print-to-pdf={}", paper.display());
    let printed = open(browser, lab, page, &[&print, "--no-pdf-header-footer"]);
    assert_eq!((printed.code, complaints(&printed)), (Some(0), Vec::new()), "{}", printed.err);
    let bytes = std::fs::read(&paper).expect("printed");
    assert!(bytes.starts_with(b"%PDF") && bytes.len() > 20_000, "{} bytes", bytes.len());
    if let Some(folder) = std::env::var_os("SCALELAW_SCREENSHOTS") {
        let name = page.replace('/', "-");
        std::fs::copy(&picture, Path::new(&folder).join(format!("{name}.png"))).expect("a folder for screenshots");
        std::fs::copy(&paper, Path::new(&folder).join(format!("{name}.pdf"))).expect("a folder for screenshots");
    }
}

/// Simulates a sweep that is shipped, under another name and law.
fn simulate(lab: &Lab, sweep: &str, name: &str, options: &[&str]) {
    let file = format!("{name}.toml");
    let (from, to) = (format!("name = \"{sweep}\""), format!("name = \"{name}\""));
    lab.write(&file, &shipped(sweep).replacen(&from, &to, 1));
    lab.simulate("state", &file, options);
}

#[test]
fn a_report_opens_in_a_browser_without_a_complaint() {
    let Some(browser) = browser() else { return };
    let lab = Lab::without_worker();
    simulate(&lab, "demo", "demo", &[]);
    lab.scalelaw("state", &["report", "demo", "--out", "pages"]).check(0, &[]);
    check_page(&browser, &lab, "pages/report.html", "Report of the sweep demo", 6);
    let text = std::fs::read_to_string(lab.path("pages/report.html")).expect("a page");
    for part in [
        "SIMULATED",
        "By the law of the frontier",
        " core",
        "The lowest held-out loss against compute: L = ",
        "device time",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // What the page may not do would be told.
    lab.write("wrong.html", &text.replace("<h1>", "<img src=\"https://example.org/x.png\"><script>1</script><h1>"));
    let shown = open(&browser, &lab, "wrong.html", &["--dump-dom"]);
    assert_eq!(complaints(&shown).len(), 2, "{}", shown.err);
}

#[test]
fn two_sweeps_are_compared_at_equal_compute() {
    let lab = Lab::without_worker();
    simulate(&lab, "demo", "usual", &[]);
    // Everything that falls with compute is half as much again.
    simulate(&lab, "demo", "worse", &["--law", "a=12,b=9"]);
    let said = lab.scalelaw("state", &["compare", "usual", "worse", "--out", "pages", "--json"]);
    said.check(0, &[]);
    let answer = &said.json()["answer"]["stages"][0];
    assert_eq!(answer["comparison"]["lower"], "one", "{answer}");
    let ratio = &answer["comparison"]["at"][2]["ratio"];
    assert!(ratio["low"].as_f64() > Some(1.0) && ratio["value"].as_f64() > ratio["low"].as_f64(), "{ratio}");
    lab.scalelaw("state", &["plot", "--check", "pages/scaling-flops.json"]).check(0, &[]);
    if let Some(browser) = browser() {
        check_page(&browser, &lab, "pages/report.html", "usual against worse", 1);
    }
    lab.scalelaw("state", &["compare", "usual", "usual.toml"]).check(2, &["cannot be compared with itself"]);
    lab.scalelaw("state", &["compare", "usual"]).check(2, &["two families", "scalelaw compare usual OTHER"]);
    lab.scalelaw("state", &["exclude", "model=XS", "--sweep", "usual", "--reason", "wrong data"]).check(0, &[]);
    lab.scalelaw("state", &["plot", "--check", "pages/scaling-flops.json"])
        .check(1, &["compare usual worse --out pages"]);
}

#[test]
fn two_families_of_one_sweep_are_compared() {
    let lab = Lab::without_worker();
    simulate(&lab, "families", "families", &[]);
    let said = lab.scalelaw("state", &["compare", "families", "--out", "pages"]);
    said.check(0, &[]);
    assert!(
        said.out.contains("ViT") && said.out.contains("NFNet") && said.out.contains("times the compute"),
        "{}",
        said.out
    );
    let page = std::fs::read_to_string(lab.path("pages/report.md")).expect("a page");
    assert!(page.contains("# NFNet against ViT") && page.contains("| C | NFNet | ViT |"), "{page}");
}
