//! Builds the shim and tells the linker where libtorch lies, so that no program of this crate needs LD_LIBRARY_PATH.

fn main() {
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    let Ok(libtorch) = std::env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}");
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
    // RUNPATH and not RPATH: a LD_LIBRARY_PATH still wins where the worker was carried to another machine.
    println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags");
    println!("cargo:rerun-if-changed=shim/context.cpp");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include(format!("{libtorch}/../include"))
        .file("shim/context.cpp")
        .compile("scalelaw_shim");
}
