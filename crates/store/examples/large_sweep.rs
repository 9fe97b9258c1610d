//! How long a sweep of 100,000 cells takes to plan and to apply: one line of JSON per form of it.
#![expect(clippy::print_stdout, reason = "a benchmark takes the time and prints it")]

mod large;

use std::time::Instant;

use spec::document::Format;
use spec::plan::{Outcome, Outcomes, Plan};
use spec::sweep::Sweep;
use store::Store;

use large::facts;

/// 50 models and 100 budgets; 100,000 cells with 20 learning rates.
fn text(more: &str, seeds: &str, rates: u32) -> String {
    large::text([50, 100, rates], seeds, more)
}

/// Seconds since `began`.
fn since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64()
}

fn plan(text: &str, outcomes: &Outcomes) -> Plan {
    let sweep = Sweep::parse(text, Format::Toml).expect("a sweep");
    let mut plan = Plan::expand(&sweep, &facts(), outcomes).expect("a plan");
    plan.add_finetuning(&sweep, &facts(), outcomes).expect("a plan");
    plan
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let stage = "finetune = { epochs = 1, lr = [0.01], train = { batch = 64 } }\n";
    for (form, more, seeds, rates) in [
        ("grid", "", "", 20),
        ("four seeds", "", ", seeds = [0, 1, 2, 3]", 5),
        ("two-trial", "search = { strategy = \"two-trial\" }\n", "", 20),
        ("with noise", "search = { noise = { cells = 9, seeds = 3 } }\n", "", 20),
        ("with fine-tuning", stage, "", 20),
    ] {
        let text = text(more, seeds, rates);
        let began = Instant::now();
        let blind = plan(&text, &Outcomes::new());
        let first = since(began);
        let loss = |lr: f64| Outcome::Loss(1.0 + (lr / 0.1).ln().powi(2));
        let grid = plan(&self::text("", seeds, rates), &Outcomes::new());
        let outcomes: Outcomes = grid.runs.iter().map(|run| (run.id, loss(run.spec.train.lr))).collect();
        let began = Instant::now();
        let known = plan(&text, &outcomes);
        println!(
            "{{\"form\":\"{form}\",\"runs\":{},\"plan_seconds\":{first:.2},\"runs_with_results\":{},\"plan_with_results_seconds\":{:.2}}}",
            blind.runs.len(),
            known.runs.len(),
            since(began),
        );
    }
    let grid = plan(&text("", "", 20), &Outcomes::new());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(&folder.path().join("scalelaw.db")).await.expect("a database");
    let mut seconds = Vec::new();
    let mut sweep = 0;
    for now_ms in [1, 2] {
        let began = Instant::now();
        sweep = store.apply("large", "", &grid, now_ms).await.expect("applied").0;
        seconds.push(since(began));
    }
    let began = Instant::now();
    let queued = store.queue(sweep).await.expect("readable");
    seconds.push(since(began));
    println!(
        "{{\"form\":\"apply\",\"runs\":{},\"apply_seconds\":{:.2},\"again_seconds\":{:.2},\"queue_seconds\":{:.2}}}",
        queued.len(),
        seconds[0],
        seconds[1],
        seconds[2]
    );
}
