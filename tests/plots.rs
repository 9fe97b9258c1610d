//! Figures of a sweep and of files, and whether they are still those of the data.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Lab, shipped};

#[test]
fn a_sweep_has_all_its_figures_and_they_know_when_the_data_move() {
    let lab = Lab::without_worker();
    lab.write("demo.toml", &shipped("demo"));
    lab.simulate("state", "demo.toml", &[]);
    lab.scalelaw("state", &["plot", "all", "demo", "--out", "figures", "--pdf", "--json"]).check(0, &[]);
    let read = |name: &str| std::fs::read(lab.path("figures").join(name)).unwrap_or_else(|_| panic!("{name} is drawn"));
    for name in ["curves", "ledger", "lr", "optimal-lr", "residuals", "scaling"] {
        assert!(read(&format!("{name}.svg")).starts_with(b"<svg"), "{name}");
        assert!(read(&format!("{name}.pdf")).starts_with(b"%PDF"), "{name}");
        let beside: serde_json::Value = serde_json::from_slice(&read(&format!("{name}.json"))).expect("JSON");
        assert_eq!((&beside["schema_version"], &beside["figure"]), (&1.into(), &name.into()));
        let path = format!("figures/{name}.json");
        lab.scalelaw("state", &["plot", "--check", &path]).check(0, &[]);
    }
    let fit: serde_json::Value = serde_json::from_slice(&read("scaling.json")).expect("JSON");
    assert!(fit["fit"]["params"]["alpha"]["low"].as_f64() > Some(0.0), "{fit}");
    let residuals: serde_json::Value = serde_json::from_slice(&read("residuals.json")).expect("JSON");
    assert_eq!(residuals["fit"]["back_test"]["steps"][2]["left_out"], 3, "{residuals}");
    let drawn = String::from_utf8(read("residuals.csv")).expect("text");
    assert!(drawn.contains(",back-test,fitted without the 3 largest budgets: "), "{drawn}");
    assert!(drawn.contains(",extrapolated") && drawn.contains(",inside data"), "{drawn}");
    // XS, S, M and L; four budgets of three rates and an optimum or more each.
    let rates = String::from_utf8(read("lr.csv")).expect("text");
    assert!(rates.contains("XS,1/8,point,0.07,") && rates.matches(",optimum,").count() == 16, "{rates}");
    let before = read("scaling.svg");
    lab.scalelaw("state", &["plot", "scaling", "demo", "--out", "figures"]).check(0, &[]);
    assert!(before == read("scaling.svg"), "same data, same bytes");

    lab.scalelaw("state", &["report", "demo", "--out", "figures"]).check(0, &[]);
    let (html, markdown) = (String::from_utf8(read("report.html")), String::from_utf8(read("report.md")));
    let (html, markdown) = (html.expect("text"), markdown.expect("text"));
    assert_eq!((html.matches("<svg").count(), markdown.matches("](").count()), (6, 6));
    assert!(
        !html.contains("<script") && !html.contains(" src=") && html.matches("<td>completed</td>").count() == 54,
        "{html}"
    );
    for part in
        ["L = ", "54 finished runs with a digest", "scalelaw run demo.toml", "follow a power law in compute", "[train"]
    {
        assert!(html.contains(part) && markdown.contains(part), "{part}: {markdown}");
    }
    lab.scalelaw("state", &["plot", "--check", "figures/lr.json"]).check(0, &[]);

    lab.scalelaw("state", &["exclude", "model=XS", "lr<0.1", "--reason", "wrong data"]).check(0, &[]);
    lab.scalelaw("state", &["plot", "--check", "figures/lr.json"])
        .check(1, &["draw it again: `scalelaw --state-dir state plot lr demo --out figures`"]);
    lab.scalelaw("state", &["plot", "--check", "figures/residuals.json"]).check(1, &["plot residuals demo"]);
    let elsewhere = lab.path("state").display().to_string();
    let scaling = ["plot", "scaling", "--state-dir", &elsewhere, "--json", "--out", "figures"];
    lab.scalelaw("state", &scaling).check(0, &[]);
    // The best excluded run of each budget, and nothing of this machine.
    let csv = String::from_utf8(read("scaling.csv")).expect("text");
    assert_eq!(csv.matches(",excluded,NFNet").count(), 4, "{csv}");
    assert!(String::from_utf8(read("scaling.svg")).expect("text").contains(" runs excluded; of each model"));
    let beside: serde_json::Value = serde_json::from_slice(&read("scaling.json")).expect("JSON");
    assert_eq!(beside["command"], serde_json::json!(["plot", "scaling", "demo"]));
    lab.scalelaw("state", &["plot", "--check", "figures/scaling.json"]).check(0, &[]);
    let said = lab.scalelaw("state", &["plot", "--check", "figures/lr.json", "--json"]);
    assert_eq!((said.code, &said.json()["moved"]), (Some(1), &true.into()));
    lab.scalelaw("state", &["plot", "--check", "demo.toml"]).check(2, &["is not the JSON beside a figure"]);
    lab.scalelaw("state", &["plot", "isoflop", "demo"]).check(4, &["no groups of equal compute", "to mend it"]);
}

#[test]
fn groups_of_equal_compute_have_three_figures() {
    let lab = Lab::without_worker();
    let mut csv = "model,params,samples,epochs,flops,loss\n".to_owned();
    for c in [1e17, 1e18, 1e19, 1e20] {
        for k in [0.25, 0.5, 1.0, 2.0, 4.0] {
            let n = k * (c / 120f64).sqrt();
            let d = c / (6.0 * n);
            csv += &format!("m,{n},{d},{},{c},{}\n", d / 1e9, 1.7 + 406.0 * n.powf(-0.34) + 411.0 * d.powf(-0.28));
        }
    }
    lab.write("runs.csv", &csv);
    for name in ["isoflop", "size-vs-compute", "epochs-vs-compute"] {
        let columns = ["--compute-column", "flops", "--style", "slides", "--out", "figures"];
        let command = [["plot", name, "--points", "runs.csv"].as_slice(), &columns].concat();
        lab.scalelaw("state", &command).check(0, &[]);
        lab.scalelaw("state", &["plot", "--check", &format!("figures/{name}.json")]).check(0, &[]);
    }
    let sizes = std::fs::read_to_string(lab.path("figures/size-vs-compute.csv")).expect("drawn");
    assert_eq!(sizes.matches("optimum,isoFLOP,").count(), 4, "{sizes}");
    // E = D / 1e9, and D grows with C^(0.34 / 0.62).
    let epochs: serde_json::Value =
        serde_json::from_slice(&std::fs::read(lab.path("figures/epochs-vs-compute.json")).expect("drawn"))
            .expect("JSON");
    let exponent = epochs["fit"]["samples"]["exponent"]["value"].as_f64().expect("an exponent");
    assert!((exponent - 0.34 / 0.62).abs() < 0.02, "{exponent}");
    lab.scalelaw("state", &["plot", "curves", "--points", "runs.csv"]).check(2, &["from a sweep only"]);
}

#[test]
fn families_are_told_apart_and_have_a_law_each() {
    let lab = Lab::without_worker();
    lab.write("families.toml", &shipped("families"));
    lab.simulate("state", "families.toml", &[]);
    lab.scalelaw("state", &["plot", "all", "families", "--compute", "flops", "--out", "figures"]).check(0, &[]);
    let read = |name: &str| std::fs::read_to_string(lab.path("figures").join(name)).expect("drawn");
    let beside: serde_json::Value = serde_json::from_str(&read("scaling-flops.json")).expect("JSON");
    let families = beside["fit"]["families"].as_object().expect("families");
    assert_eq!(families.keys().collect::<Vec<_>>(), ["NFNet", "ViT"], "{beside}");
    let csv = read("scaling-flops.csv");
    for part in [",finished,NFNet\n", ",finished,ViT\n"] {
        assert_eq!(csv.matches(part).count(), 15, "{part} {csv}");
    }
    for name in ["scaling-flops.svg", "optimal-lr.svg"] {
        let svg = read(name);
        assert!(svg.contains(">NFNet</text>") && svg.contains(">ViT</text>"), "{svg}");
    }
    // Each family's runs are held against its own law.
    for (family, fitted) in families {
        let law = fitted["params"]["alpha"].is_object();
        assert_eq!(read("residuals-flops.csv").contains(&format!("{family},point,")), law, "{fitted}");
    }
    assert!(families.values().any(|fitted| fitted["params"]["alpha"].is_object()), "{beside}");
    lab.scalelaw("state", &["plot", "--check", "figures/scaling-flops.json"]).check(0, &[]);
}

#[test]
fn a_run_at_work_is_drawn_hollow_with_its_newest_loss() {
    // One run finishes; another one evaluates itself and is stopped.
    let script = r#"mkdir "$run/../../first" 2>/dev/null && { finish; exit; }
line 2 '"event":"evaluated","step":10,"loss":0.55'
exec sleep 600"#;
    let (lab, worker) = crate::scripted::lab(script, 0);
    let one = std::fs::read_to_string(lab.path("one.toml")).expect("our own file");
    lab.write("two.toml", &one.replace("lr = [0.05]", "lr = [0.02, 0.05]"));
    let mut command = lab.command("state", &["run", "two.toml", "--worker", &worker]);
    let mut scheduler = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("scalelaw starts");
    let began = Instant::now();
    let said = |what: &str| lab.journals("state").values().any(|text| text.contains(what));
    while !(said("finished") && said("evaluated")) {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "the workers have not come so far: {:?}",
            lab.journals("state")
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = Pid::from_raw(scheduler.id() as i32).expect("a process id");
    kill_process(pid, Signal::INT).expect("our own child");
    assert_eq!(scheduler.wait().expect("our own child").code(), Some(130));

    let draw = ["plot", "scaling", "tiny", "--compute", "flops", "--out", "figures"];
    lab.scalelaw("state", &draw).check(0, &["drawn without a law"]);
    let read = |name: &str| std::fs::read_to_string(lab.path("figures").join(name)).expect("drawn");
    let csv = read("scaling-flops.csv");
    let row = csv.lines().find(|line| line.contains(",running,")).expect("the run at work");
    let cells: Vec<f64> = row.split(',').filter_map(|cell| cell.parse().ok()).collect();
    let counted = csv.lines().find(|line| line.contains(",unverified,")).expect("the finished run");
    let all: Vec<f64> = counted.split(',').filter_map(|cell| cell.parse().ok()).collect();
    assert!((cells[0] / all[0] - 1.0 / 3.0).abs() < 1e-9 && cells[1] == 0.55, "10 of 30 steps: {csv}");
    assert!(read("scaling-flops.svg").contains("1 run not finished yet; of each model and budget"));
    lab.scalelaw("state", &["plot", "--check", "figures/scaling-flops.json"]).check(0, &[]);
    lab.scalelaw("state", &["exclude", "state=queued", "--reason", "a test"]).check(0, &[]);
    lab.scalelaw("state", &["plot", "--check", "figures/scaling-flops.json"]).check(1, &["have changed"]);
}
