use spec::{document::Format, plan::*, run::*, sweep::*};
fn main() {
    let text = std::fs::read_to_string(std::env::args().nth(1).unwrap()).unwrap();
    let sweep = Sweep::parse(&text, Format::Toml).unwrap_or_else(|p| panic!("{p:?}"));
    let home = std::env::args().nth(2).unwrap();
    let data = data::Dataset::open(home.as_ref(), "").unwrap();
    println!("{:?}", data.facts);
    let plan = Plan::expand(&sweep, &data.facts).unwrap_or_else(|p| panic!("{p:?}"));
    let out = std::path::PathBuf::from(std::env::args().nth(3).unwrap());
    for r in plan.runs {
        let label = cell_label(&r.model, r.spec.train.epochs, r.spec.train.lr).replace([' ', ','], "_");
        println!(
            "{label} params {} macs {} est {:.1}s steps {} MB {}",
            r.price.parameters,
            r.price.macs,
            r.price.seconds,
            r.price.steps,
            r.price.bytes >> 20
        );
        let d = out.join(label);
        std::fs::create_dir_all(&d).unwrap();
        let f = SpecFile { schema: SPEC_SCHEMA, run_id: r.spec.id(), run: r.spec };
        std::fs::write(d.join("spec.json"), serde_json::to_vec_pretty(&f).unwrap()).unwrap();
    }
}
