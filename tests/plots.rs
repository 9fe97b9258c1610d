//! Figures of a sweep and of files, and whether they are still those of the data.

use crate::support::Lab;

#[test]
fn a_sweep_has_all_its_figures_and_they_know_when_the_data_move() {
    let lab = Lab::without_worker();
    let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sweeps/demo.toml");
    lab.write("demo.toml", &std::fs::read_to_string(demo).expect("the demonstration"));
    lab.scalelaw("state", &["simulate", "demo.toml", "--progress", "none", "--speed", "100000"]).check(0, &[]);
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
    assert!(!html.contains("<script") && !html.contains(" src=") && html.matches("<td>completed</td>").count() == 54, "{html}");
    for part in [
        "L = ",
        "54 completed",
        "54 finished runs with a digest",
        "scalelaw run demo.toml",
        "follow a power law in compute",
        "[train",
    ] {
        assert!(html.contains(part) && markdown.contains(part), "{part}: {markdown}");
    }
    lab.scalelaw("state", &["plot", "--check", "figures/lr.json"]).check(0, &[]);

    lab.scalelaw("state", &["exclude", "model=XS", "lr<0.1", "--reason", "wrong data"]).check(0, &[]);
    lab.scalelaw("state", &["plot", "--check", "figures/lr.json"]).check(1, &["draw it again: scalelaw plot all demo"]);
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
