//! The `protovae` program as a library, so that a program of your own can be `protovae` with your plugins in it:
//!
//! ```no_run
//! // Referring to the plugin crate once keeps the linker from dropping it: use my_plugin as _;
//! fn main() -> std::process::ExitCode {
//!     protovae_cli::main()
//! }
//! ```

#![forbid(unsafe_code)]

pub mod args;
mod commands;
pub mod config;
mod diagnose;
mod error;
mod files;
mod image_source;
pub mod initial_weights;
mod machine;
mod model_source;
pub mod output;
mod paper;
pub mod presets;
mod reproduce;
mod session;
mod suggest;
mod tables;
mod zoo;

use std::ffi::OsString;
use std::process::ExitCode;

pub use error::{CliError, Result};

// The recipes of these crates are found by name only; this keeps the linker from dropping them.
use protovae_backbones as _;

/// Compiles and runs the examples in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;

/// The program: reads the process's arguments, reports errors on standard error, gives the exit code.
pub fn main() -> ExitCode {
    run_from(std::env::args_os())
}

/// The program with given arguments, the first of which is its name.
pub fn run_from<I, T>(arguments: I) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = match args::Cli::parsed(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap knows where each goes.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !is_broken_pipe(&error) {
                output::print_error(&error);
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// Carries out a parsed command line.
///
/// # Errors
/// Whatever the command meets; [`CliError::exit_code`] says how bad it is.
pub fn run(cli: args::Cli) -> Result<()> {
    let voice = output::Voice {
        quiet: cli.quiet,
        verbose: cli.verbose > 0,
        json: cli.json,
        mute: false,
    };
    match cli.command {
        args::Command::Train(train) => commands::train::run(&train, voice),
        args::Command::Eval(eval) => commands::eval::run(&eval, voice),
        args::Command::Predict(predict) => commands::predict::run(&predict, voice),
        args::Command::Prototypes(prototypes) => commands::prototypes::run(&prototypes, voice),
        args::Command::Explain(explain) => commands::explain::run(&explain, voice),
        args::Command::Measure(measure) => commands::measure::run(&measure, voice),
        args::Command::Reproduce(reproduce) => commands::reproduce::run(&reproduce, voice),
        args::Command::Compare(compare) => commands::compare::run(&compare, voice),
        args::Command::Report(report) => commands::report::run(&report, voice),
        args::Command::Import(import) => commands::import::run(&import, voice),
        args::Command::Export(export) => commands::export::run(&export, voice),
        args::Command::Zoo(zoo) => commands::zoo::run(&zoo, voice),
        args::Command::Bench(bench) => commands::bench::run(&bench, voice),
        args::Command::Data(data) => commands::data::run(&data, voice),
        args::Command::Config(config) => commands::config::run(&config, voice),
        args::Command::Doctor(doctor) => commands::doctor::run(&doctor, voice),
        args::Command::Completions { shell } => commands::completions(shell),
    }
}

fn is_broken_pipe(error: &CliError) -> bool {
    matches!(error, CliError::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
}
