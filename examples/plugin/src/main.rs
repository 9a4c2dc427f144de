//! `protovae` with the plugins of this crate: every command of the program knows them by their tags.
//!
//! ```console
//! protovae-with-plugins train --config patches.json --out run
//! protovae-with-plugins explain run digit.png --method rise
//! ```

use std::process::ExitCode;

// A program that names plugins in JSON alone must refer to their crate once, or the linker drops it.
use protovae_example_plugin as _;

fn main() -> ExitCode {
    protovae_cli::main()
}
