//! Tables for other programs, and points from theirs: what is exported is what is fitted, in every format.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Lab, Said, shipped};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A laboratory in which this sweep of the repository has been simulated.
fn simulated(sweep: &str) -> Lab {
    simulated_with(sweep, "", "")
}

/// The same with one text of its file replaced by another.
fn simulated_with(sweep: &str, from: &str, to: &str) -> Lab {
    let lab = Lab::without_worker();
    let file = format!("{sweep}.toml");
    let text = shipped(sweep);
    assert!(text.contains(from), "{from}");
    lab.write(&file, &if from.is_empty() { text } else { text.replace(from, to) });
    lab.simulate("state", &file, &[]);
    lab
}

const FORMATS: [&str; 4] = ["csv", "jsonl", "parquet", "arrow"];

/// What a law says, or why there is none, but for where its points come from.
fn answer(lab: &Lab, arguments: &[&str]) -> Vec<Value> {
    let said = lab.scalelaw("state", &[arguments, &["--resamples", "200", "--json"]].concat());
    assert!(matches!(said.code, Some(0 | 4)), "{arguments:?}: {}{}", said.out, said.err);
    let answer = said.json();
    ["params", "quality", "range", "refusal"].map(|key| answer[key].clone()).into()
}

/// What a law says, but for where its points come from.
fn law(lab: &Lab, arguments: &[&str]) -> (Value, Value, Value) {
    let said = lab.scalelaw("state", &[arguments, &["--resamples", "200", "--json"]].concat());
    assert_eq!(said.code, Some(0), "{arguments:?}: {}{}", said.out, said.err);
    let fit = said.json();
    assert!(fit["params"].is_object(), "{fit}");
    (fit["params"].clone(), fit["backtest"].clone(), fit["points"]["used"].clone())
}

#[test]
fn an_export_in_any_format_gives_the_laws_of_its_sweep() {
    let lab = simulated("demo");
    // Two rows that the laws must not count.
    lab.scalelaw("state", &["exclude", "model=XS", "epochs=0.125", "lr=0.07", "--reason", "wrong data"]).check(0, &[]);
    for format in FORMATS {
        let file = format!("tables/runs.{format}");
        let said = lab.scalelaw("state", &["export", format, "demo", "--out", &file]);
        assert_eq!((said.code, said.out.as_str()), (Some(0), format!("{file}\n").as_str()), "{}", said.err);
        let of_sweep = ["fit", "frontier", "demo", "--compute", "flops"];
        let of_file = ["fit", "frontier", "--points", &file, "--compute-column", "training_flops"];
        assert_eq!(law(&lab, &of_file), law(&lab, &of_sweep), "{format}");
        let of_file = ["fit", "parametric", "--points", &file];
        assert_eq!(law(&lab, &of_file), law(&lab, &["fit", "parametric", "demo"]), "{format}");
        let of_file = lab.scalelaw("state", &["fit", "lr", "--points", &file, "--json"]);
        let rates = "took heldout_loss_nats for loss, n_total for params; no compute, which could be training_flops, \
                     train_hours or fitted_device_hours (--compute-column says which); left out 1 row";
        of_file.check(0, &[&file, rates]);
        let of_sweep = lab.scalelaw("state", &["fit", "lr", "demo", "--json"]).json();
        assert_eq!(of_file.json()["groups"], of_sweep["groups"], "{format}");
        let asked = lab.scalelaw("state", &["fit", "frontier", "--points", &file]);
        asked
            .check(2, &[&file, "the compute could be", "training_flops", "train_hours", "--compute-column says which"]);
    }
    // What goes to standard output is the same.
    let to_stdout = lab.command("state", &["export", "parquet", "demo"]).output().expect("scalelaw starts");
    assert!(to_stdout.stdout == std::fs::read(lab.path("tables/runs.parquet")).expect("exported"));
    lab.scalelaw("state", &["export", "jsonl", "demo", "--json"])
        .check(2, &["--json prints the table of `export csv`"]);
    let said = lab.scalelaw("state", &["export", "csv", "demo", "--out", "tables"]);
    said.check(3, &["cannot write tables"]);
    assert_eq!(std::fs::read_dir(lab.path("")).into_iter().flatten().count(), 3, "nothing half-written is left");
}

#[test]
fn every_compute_of_an_export_is_the_fitted_one_where_runs_share_their_beginning() {
    let trunks = "warmup_steps = 5\nschedule = { name = \"wsd\", cooldown = 0.2, share_trunk = true }";
    let lab = simulated_with("demo", "warmup = 0.05", trunks);
    lab.scalelaw("state", &["verify", "samples"]).check(0, &[]);
    let runs = lab.runs("state");
    let hours = |run: &BTreeMap<String, String>, column: &str| run[column].parse::<f64>().expect("a number");
    let branched: Vec<_> = runs.iter().filter(|run| !run["trunk_run_id"].is_empty()).collect();
    assert!(!branched.is_empty() && branched.iter().all(|run| hours(run, "shared_device_hours") > 0.0), "{branched:?}");
    for run in &runs {
        let both = hours(run, "device_hours") + hours(run, "shared_device_hours");
        assert!((hours(run, "fitted_device_hours") / both - 1.0).abs() < 1e-12, "{run:?}");
    }
    lab.scalelaw("state", &["export", "parquet", "--out", "runs.parquet"]).check(0, &[]);
    let of_file =
        |column: &str| answer(&lab, &["fit", "frontier", "--points", "runs.parquet", "--compute-column", column]);
    for (compute, column) in
        [("flops", "training_flops"), ("device-hours", "fitted_device_hours"), ("train-hours", "train_hours")]
    {
        let of_sweep = answer(&lab, &["fit", "frontier", "demo", "--compute", compute]);
        assert_eq!(of_file(column), of_sweep, "{compute}");
    }
    assert_ne!(of_file("device_hours"), of_file("fitted_device_hours"), "what was billed is another compute");
}

#[test]
fn rows_that_fine_tuning_leaves_out_are_marked_so_with_its_reason() {
    let lab = simulated_with("transfer-demo", "from = \"best\"", "from = \"each\"");
    lab.scalelaw("state", &["exclude", "model=ViT-32", "epochs=0.25", "lr=0.002", "--reason", "wrong data"])
        .check(0, &[]);
    // The simulated law of fine-tuning carries no fit, but what is left out is said all the same.
    let said = lab.scalelaw("state", &["fit", "frontier", "--stage", "finetuning", "--compute", "flops", "--json"]);
    said.check(4, &[]);
    let left_out = said.json()["left_out"].as_array().expect("a list").clone();
    let reason = |one: &Value| one["reason"].as_str().expect("a text").to_owned();
    let of_fit: BTreeMap<String, String> = left_out.iter().map(|one| (one["row"].to_string(), reason(one))).collect();
    let tuned: Vec<_> = lab.runs("state").into_iter().filter(|run| run["stage"] == "finetuning").collect();
    let of_table = tuned.iter().filter(|run| run["included"] == "false");
    let of_table: BTreeMap<_, _> = of_table.map(|run| (run["row"].clone(), run["exclude_reason"].clone())).collect();
    assert_eq!(of_table, of_fit);
    for kind in ["pre-trained at", "its pre-training is excluded: wrong data"] {
        assert!(of_fit.values().any(|reason| reason.starts_with(kind)), "{kind}");
    }
    assert!(
        of_table.len() < tuned.len()
            && tuned.iter().all(|run| { (run["included"] == "true") == run["exclude_reason"].is_empty() })
    );
}

#[test]
fn rows_that_are_no_points_of_the_sweep_are_none_of_its_export() {
    let lab = simulated("transfer-demo");
    lab.scalelaw("state", &["exclude", "model=ViT-32", "epochs=0.25", "--reason", "wrong data"]).check(0, &[]);
    let runs = lab.runs("state");
    assert!(runs.iter().any(|run| run["stage"] == "finetuning" && run["included"] == "false"));
    lab.scalelaw("state", &["export", "jsonl", "--out", "runs.jsonl"]).check(0, &[]);
    let of_file = ["fit", "frontier", "--points", "runs.jsonl", "--compute-column", "training_flops"];
    assert_eq!(law(&lab, &of_file), law(&lab, &["fit", "frontier", "--compute", "flops"]));
    let fit = lab.scalelaw("state", &[&of_file[..], &["--json"]].concat());
    let dropped = fit.json()["points"]["excluded"].as_array().expect("a list").clone();
    let because = |reason: &str| dropped.iter().filter(|one| one["reason"] == reason).count();
    let left = runs.iter().filter(|run| run["stage"] == "finetuning" && run["excluded"].is_empty()).count();
    assert_eq!(because("fine-tuning"), left);
    assert!(because("excluded: wrong data") > 0, "{dropped:?}");

    // The published scripts get what the laws count, and nothing else.
    let said = lab.scalelaw("state", &["export", "csv", "--columns", "chinchilla"]);
    let mut lines = said.out.lines();
    assert_eq!(lines.next(), Some("C,N,D,loss"));
    let points = runs.iter().filter(|run| {
        run["stage"] == "pretraining" && run["included"] == "true" && !run["heldout_loss_nats"].is_empty()
    });
    let points = points
        .map(|run| ["training_flops", "n_total", "samples", "heldout_loss_nats"].map(|name| &run[name][..]).join(","));
    assert!(lines.map(str::to_owned).eq(points), "{}", said.out);
    lab.write("chinchilla.csv", &said.out);
    let fit = lab.scalelaw("state", &["fit", "frontier", "--points", "chinchilla.csv"]);
    fit.check(0, &["took C for compute, N for params, D for samples"]);
}

#[test]
fn what_runs_recorded_is_a_long_table() {
    let lab = simulated("demo");
    let said = lab.scalelaw("state", &["export", "csv", "--metrics"]);
    let mut reader = csv::Reader::from_reader(said.out.as_bytes());
    let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(|row| row.expect("our own table")).collect();
    for run in lab.runs("state") {
        let of_run: Vec<_> = rows.iter().filter(|row| row["run_id"] == run["run_id"]).collect();
        let last = |series: &str| of_run.iter().rfind(|row| row["series"] == series).expect("recorded");
        assert_eq!(last("heldout_loss_nats")["value"], run["heldout_loss_nats"]);
        assert_eq!(last("training_loss_nats")["value"], run["training_loss_nats"]);
        let end = last("heldout_loss_nats");
        assert_eq!((&end["step"], &end["samples"], &end["model"]), (&run["steps"], &run["samples"], &run["model"]));
    }
    lab.scalelaw("state", &["export", "parquet", "--metrics", "--out", "m.parquet"]).check(0, &[]);
    let said = lab.scalelaw("state", &["plot", "scaling", "--points", "m.parquet", "--compute-column", "samples"]);
    said.check(2, &["m.parquet: no column \"loss\"; --loss-column says which it is"]);
    let columns = lab.scalelaw("state", &["export", "columns", "--metrics"]).out;
    assert!(columns.starts_with("run_id   text       identity of the run\nmodel"), "{columns}");
    let columns = lab.scalelaw("nowhere", &["export", "columns", "--json"]).json();
    assert!(columns["columns"].as_array().is_some_and(|all| all.len() > 60), "{columns}");
}

#[test]
fn files_of_others_are_read_and_damaged_ones_named() {
    let lab = Lab::without_worker();
    let points = [(1.0, 4.0), (10.0, 3.0), (100.0, 2.3), (1000.0, 1.8)];
    let rows = |separator: &str| {
        let line = |(compute, loss): &(f64, f64)| format!("a{separator}{compute}{separator}{loss}\n");
        format!("model{separator}Training FLOP{separator}Val Loss\n") + &points.iter().map(line).collect::<String>()
    };
    let object = |(compute, loss): &(f64, f64)| {
        format!("{{\"model\": \"a\", \"Training FLOP\": {compute}, \"Val Loss\": {loss}}}")
    };
    let objects: Vec<String> = points.iter().map(object).collect();
    let expected = {
        lab.write("usual.csv", &rows(",").replace("Training FLOP", "compute").replace("Val Loss", "loss"));
        let said = lab.scalelaw("state", &["fit", "power", "--points", "usual.csv", "--json"]);
        assert_eq!(said.err, "", "usual names need no word");
        said.json()["params"].clone()
    };
    for (name, content) in [
        ("comma.csv", rows(",")),
        ("tab.tsv", rows("\t")),
        ("semicolon.csv", rows(";")),
        ("lines.jsonl", objects.join("\n")),
        ("array.json", format!("[{}]", objects.join(",\n"))),
    ] {
        lab.write(name, &content);
        let said = lab.scalelaw("state", &["fit", "power", "--points", name, "--json"]);
        said.check(0, &[&format!("scalelaw: {name}: took Training FLOP for compute, Val Loss for loss\n")]);
        assert_eq!(said.json()["params"], expected, "{name}");
    }
    let refused = |name: &str, content: &[u8], parts: &[&str]| {
        std::fs::write(lab.path(name), content).expect("writable");
        lab.scalelaw("state", &["fit", "power", "--points", name]).check(2, &[&[name], parts].concat());
    };
    refused("comma.csv", b"compute;loss\n1;3,5\n", &["row 1, column \"loss\": \"3,5\" is not a number; decimals"]);
    refused("half.jsonl", b"{\"compute\": 1, \"loss\": 2}\n{\"compute\": 1, \"lo", &["row 2: not JSON"]);
    refused(
        "word.json",
        b"[{\"compute\": 1, \"loss\": \"low\"}]",
        &["row 1, column \"loss\": \"low\" is not a number"],
    );
    refused("a.parquet", b"PAR1 and nothing else", &["a.parquet: "]);
    refused("a.arrow", b"ARROW1 and nothing else", &["damaged"]);
    refused("two.csv", b"flops,C,loss\n1,1,3\n", &["the compute could be C or flops; --compute-column says which"]);
}

#[test]
fn a_flag_whose_column_is_not_there_is_a_mistake() {
    let lab = Lab::without_worker();
    let row = |(model, kind, compute, loss): (&str, &str, f64, f64)| format!("{model},{kind},{compute},{loss}\n");
    // Runs of one name in two families, of which the second are worse at every compute.
    let convnets = [1.0, 10.0, 100.0, 1000.0].map(|compute: f64| ("S", "NFNet", compute, 4.0 * compute.powf(-0.1)));
    let transformers = convnets.map(|(model, _, compute, loss)| (model, "ViT", 1.5 * compute, 1.1 * loss));
    let points = convnets.into_iter().chain(transformers).map(row).collect::<String>();
    lab.write("a.csv", &format!("model,kind,compute,loss\n{points}"));
    let said = lab.scalelaw("state", &["plot", "scaling", "--points", "a.csv", "--family-column", "knd"]);
    said.check(2, &["a.csv: no column \"knd\"; --family-column says which it is; did you mean kind?"]);
    lab.write("b.csv", "name,compute,loss\nbest,2000,1.5\n");
    let plot =
        ["plot", "scaling", "--points", "a.csv", "--overlay", "b.csv", "--family-column", "kind", "--out", "figures"];
    lab.scalelaw("state", &plot).check(0, &["b.csv: no family, for there is no column \"kind\" (--family-column)"]);
    let drawn = std::fs::read_to_string(lab.path("figures/scaling.csv")).expect("drawn");
    assert_eq!(["NFNet S", "ViT S"].map(|model| drawn.matches(model).count() >= 4), [true, true], "{drawn}");
}

/// A Python that has the libraries of `scripts/examples`. `None`, loudly, where nobody has said one.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("SCALELAW_PYTHON").map(PathBuf::from).filter(|path| path.is_file());
    if python.is_none() {
        let message = "no Python with pandas and polars: `make test` makes one, SCALELAW_PYTHON names another";
        assert!(std::env::var_os("SCALELAW_REQUIRE_PYTHON").is_none(), "{message}");
        println!("NOT TESTED: {message}");
    }
    python
}

#[test]
fn the_examples_say_of_an_export_what_it_says_itself() {
    let Some(python) = python() else { return };
    let lab = simulated("demo");
    let mut best: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let loss = |run: &BTreeMap<String, String>| run["heldout_loss_nats"].parse::<f64>().unwrap_or(f64::INFINITY);
    for run in lab.runs("state") {
        if best.get(&run["model"]).is_none_or(|known| loss(&run) < loss(known)) {
            best.insert(run["model"].clone(), run);
        }
    }
    assert_eq!(best.len(), 4);
    for (library, format) in [("pandas", "parquet"), ("polars", "arrow")] {
        let (file, script) = (format!("runs.{format}"), format!("scripts/examples/best_losses_{library}.py"));
        lab.scalelaw("state", &["export", format, "--out", &file]).check(0, &[]);
        let said = run_python(&python, &[&repository().join(script), &lab.path(&file)]);
        let mut reader = csv::Reader::from_reader(said.out.as_bytes());
        let rows: Vec<(String, f64, f64)> = reader.deserialize().map(|row| row.expect("three columns")).collect();
        assert!(rows.len() == 4 && rows.is_sorted_by(|a, b| a.1 <= b.1), "{library}: {}", said.out);
        for (model, flops, lowest) in rows {
            let run = &best[&model];
            assert_eq!((run["training_flops"].parse(), loss(run)), (Ok(flops), lowest), "{library}: {model}");
        }
    }
    // Types and descriptions, as pyarrow sees them in both.
    lab.write("schemas.py", SCHEMAS);
    let said = run_python(&python, &[&lab.path("schemas.py"), &lab.path("runs.parquet"), &lab.path("runs.arrow")]);
    assert_eq!(
        said.out,
        "timestamp[ms, tz=UTC] bool int64 double string held-out loss after the last step: what fits use\n".repeat(2)
    );
}

const SCHEMAS: &str = r#"
import json, sys
import pyarrow.feather as feather, pyarrow.parquet as parquet
runs, same = parquet.read_table(sys.argv[1]), feather.read_table(sys.argv[2])
assert runs.schema.equals(same.schema) and runs.equals(same), (runs.schema, same.schema)
about = json.loads(runs.schema.metadata[b"scalelaw.columns"])["heldout_loss_nats"]
names = ["started", "included", "row", "lr", "model"]
print(*[runs.schema.field(name).type for name in names], about)
about = same.schema.field("heldout_loss_nats").metadata[b"description"].decode()
print(*[same.schema.field(name).type for name in names], about)
"#;

fn run_python(python: &Path, arguments: &[&Path]) -> Said {
    let said = Said::of(&Command::new(python).args(arguments).output().expect("Python starts"));
    assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.err);
    said
}
