//! The paper's figures, from the points in the repository.

use std::path::Path;

use crate::support::Lab;

const COLUMNS: [&str; 4] = ["--compute-column", "tpuv4_core_hours", "--loss-column", "jft4b_validation_loss"];

fn reports(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports/paper").join(name).display().to_string()
}

#[test]
fn the_frontier_of_figure_2_has_the_known_exponent() {
    let lab = Lab::without_worker();
    let points = reports("figure2_heldout_loss.csv");
    let mut arguments = vec!["fit", "frontier", "--json", "--points", &points];
    arguments.extend(COLUMNS);
    let fit = lab.scalelaw("state", &arguments).json();
    let alpha = fit["params"]["alpha"]["value"].as_f64().expect("an exponent");
    assert!((alpha - 0.043).abs() <= 0.002, "{fit}");
    let (low, high) = (fit["params"]["alpha"]["low"].as_f64(), fit["params"]["alpha"]["high"].as_f64());
    assert!(low < Some(0.043) && Some(0.043) < high, "{fit}");
    assert_eq!(fit["schema_version"], 1);
}

#[test]
fn the_figures_are_drawn_as_they_are_kept() {
    let lab = Lab::without_worker();
    let (losses, rates) = (reports("figure2_heldout_loss.csv"), reports("figure3_optimal_lr.csv"));
    let mut scaling = vec!["plot", "scaling", "--points", &losses, "--out", "figures"];
    scaling.extend(COLUMNS);
    scaling.extend(["--x-label", "TPU-v4 core hours", "--y-label", "JFT-4B held-out loss"]);
    lab.scalelaw("state", &scaling).check(0, &[]);
    let rates = ["plot", "optimal-lr", "--points", &rates, "--lr-column", "optimal_lr", "--out", "figures"];
    lab.scalelaw("state", &rates).check(0, &[]);
    for name in ["scaling.svg", "scaling.csv", "optimal-lr.svg", "optimal-lr.csv"] {
        let (drawn, kept) =
            (std::fs::read_to_string(lab.path("figures").join(name)), std::fs::read_to_string(reports(name)));
        assert!(drawn.expect("drawn") == kept.expect("kept"), "{name} has changed: `make reports` draws it again");
    }
}

#[test]
fn the_papers_grid_can_be_priced_and_not_run() {
    let lab = Lab::without_worker();
    let sweep =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sweeps/convnets-match-vits.toml").display().to_string();
    let plan = lab.scalelaw("state", &["plan", &sweep, "--json"]).json();
    assert_eq!(plan["totals"]["runs"], 180);
    lab.scalelaw("state", &["run", &sweep]).check(2, &["jft-4b", "only described", "planned but not run"]);
}
