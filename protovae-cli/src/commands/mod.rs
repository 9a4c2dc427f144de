//! One module a command; each is little more than a call into the libraries.

pub mod bench;
pub mod compare;
pub mod config;
pub mod data;
pub mod doctor;
pub mod eval;
pub mod explain;
pub mod export;
pub mod import;
pub mod measure;
pub mod predict;
pub mod prototypes;
mod remove;
pub mod report;
pub mod reproduce;
pub mod train;
pub mod zoo;

use clap::CommandFactory;

use crate::error::{CliError, Result};

/// Prints a completion script.
pub fn completions(shell: clap_complete::Shell) -> Result<()> {
    // Generated into memory first: clap_complete panics when it cannot write, as to a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(
        shell,
        &mut crate::args::Cli::command(),
        "protovae",
        &mut script,
    );
    std::io::Write::write_all(&mut std::io::stdout().lock(), &script).map_err(CliError::Output)
}
