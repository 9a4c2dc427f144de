//! Links the program so that it needs no library besides the C library.

fn main() {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    // Rust's standard library pulls in libgcc_s for unwinding; its static twin does the same without a file to install.
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo:rustc-link-arg-bins=-static-libgcc");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
