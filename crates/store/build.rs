//! Migrations are compiled in; this makes cargo notice when one is added.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
