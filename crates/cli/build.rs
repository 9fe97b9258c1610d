//! How `scalelaw` is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // It is started once for each trainer of one's own (`scalelaw bound`): at a fixed address 32,000 pointers need not be written anew
    // each time, which takes a third of that start.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-link-arg-bin=scalelaw=-no-pie");
    }
}
