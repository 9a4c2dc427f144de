//! Arguments about spurious cues, and about prototypes that are to count no more.

use std::path::PathBuf;

use clap::Args;

/// What `protovae measure` asks of a planted cue.
#[derive(Debug, Clone, Copy, Args)]
pub struct CueArgs {
    /// Of the measure `cue`: prototypes with a score above this one show the cue; 0 is what is there without it, 1 the cue.
    #[arg(long, value_name = "SCORE", default_value_t = 0.5)]
    pub cue_threshold: f64,
}

/// Which prototypes `protovae prototypes` takes out of a model, and where the new run goes.
#[derive(Debug, Clone, Args)]
pub struct RemovalArgs {
    /// Prototypes to take out of the classification, as `explain --prototypes` takes them; the new model goes to --out-run.
    #[arg(
        long,
        value_name = "CLASS:NUMBER,...",
        requires = "out_run",
        conflicts_with = "out"
    )]
    pub remove: Option<String>,
    /// The run directory to make with --remove; RUN stays as it is.
    #[arg(long, value_name = "DIR", requires = "remove")]
    pub out_run: Option<PathBuf>,
    /// Replace the run that is in --out-run.
    #[arg(long, requires = "out_run")]
    pub overwrite: bool,
}
