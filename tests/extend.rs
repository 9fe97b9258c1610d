//! Editing a sweep is normal.

use crate::support::{Lab, tiny};

#[test]
fn one_more_learning_rate_trains_just_the_new_cells() {
    let Some(lab) = Lab::new() else { return };
    lab.scalelaw("state", &["run", "tiny.toml"]).check(0, &["8 new"]);
    let before = lab.journals("state");
    lab.write("tiny.toml", &tiny("0.02, 0.03, 0.05"));
    let plan = lab.scalelaw("state", &["plan", "tiny.toml", "--json"]).json();
    assert_eq!(plan["change"], serde_json::json!({"new": 4, "kept": 8, "dropped": 0}));
    lab.scalelaw("state", &["run", "tiny.toml"]).check(0, &["4 new, 8 kept"]);
    let after = lab.journals("state");
    assert_eq!(after.len(), 12);
    assert!(before.iter().all(|(path, text)| after.get(path) == Some(text)), "a finished run was touched");

    // What is no longer asked for is let go, not forgotten, and comes back without being trained again.
    lab.write("tiny.toml", &tiny("0.03"));
    lab.scalelaw("state", &["run", "tiny.toml"]).check(0, &["0 new, 4 kept, 8 dropped"]);
    assert_eq!(lab.runs("state").len(), 12);
    lab.write("tiny.toml", &tiny("0.02, 0.03, 0.05"));
    lab.scalelaw("state", &["run", "tiny.toml"]).check(0, &["12 kept"]);
    assert_eq!(lab.journals("state").len(), 12);
}

#[test]
fn another_name_for_a_model_trains_nothing() {
    let Some(lab) = Lab::new() else { return };
    lab.scalelaw("state", &["run", "tiny.toml"]).check(0, &["8 new"]);
    lab.write("tiny.toml", &tiny("0.02, 0.05").replace("\"small\"", "\"tiny\""));
    lab.scalelaw("state", &["run", "tiny.toml"]).check(0, &["0 new, 8 kept"]);
    assert_eq!(lab.runs("state").iter().filter(|run| run["model"] == "tiny").count(), 4);
    assert_eq!(lab.journals("state").len(), 8);
}
