//! Links the program so that it needs no library besides the C library.
//!
//! Rust's standard library asks the linker for `gcc_s`, the shared library with the unwinder, which bare containers lack.
//! A linker script of that name, found before the system's, puts the same code's static twin in its place.
//!
//! With libtorch, whose C++ needs the shared one, that is of no use. The program then remembers where libtorch was.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if env::var_os("CARGO_FEATURE_LIBTORCH").is_some() {
        remember_libtorch();
    } else if let Some(folder) = static_unwinder() {
        println!("cargo:rustc-link-search=native={folder}");
    }
}

/// Has the program look for libtorch's libraries in the folder it was built with, if that was named.
fn remember_libtorch() {
    let unix = env::var_os("CARGO_CFG_UNIX").is_some();
    if let (true, Ok(folder)) = (unix, env::var("LIBTORCH")) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}/lib");
    }
}

/// The folder of the linker script; `None` where it does not apply or the static twin is not installed.
fn static_unwinder() -> Option<String> {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let native = variable("HOST") == variable("TARGET");
    let gnu =
        variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ENV") == "gnu";
    if !(native && gnu) {
        return None;
    }
    let found = Command::new("cc")
        .arg("-print-file-name=libgcc_eh.a")
        .output()
        .ok()?;
    let archive = String::from_utf8(found.stdout).ok()?;
    if !Path::new(archive.trim()).is_absolute() {
        return None;
    }
    let folder = Path::new(&variable("OUT_DIR")).join("static-unwinder");
    fs::create_dir_all(&folder).ok()?;
    fs::write(folder.join("libgcc_s.so"), "GROUP ( -lgcc_eh -lgcc )\n").ok()?;
    Some(folder.to_str()?.to_string())
}
