//! Where and how to compute, and the commands that are about little else.

use std::path::PathBuf;

use clap::Args;
use protovae_core::Precision;
use protovae_core::device::DeviceChoice;

use super::ConfigSource;

/// Where to compute.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct DeviceArgs {
    /// The device; what follows is the help's text, whose brackets rustdoc would take for links.
    #[arg(
        long,
        default_value = "cpu",
        help = "cpu, cuda[:N], wgpu[:N], libtorch, libtorch:cuda[:N], as far as compiled in; or auto, the fastest found"
    )]
    pub device: DeviceChoice,
    /// Threads that compute; default all cores.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Several devices of one kind.
#[derive(Debug, Clone, Default, Args)]
pub struct DevicesArgs {
    /// Compute each batch on several devices of the kind that --device names, by their numbers, such as 0,1; the first one keeps the
    /// model.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub devices: Vec<usize>,
}

/// `protovae train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// The configuration.
    #[command(flatten)]
    pub source: ConfigSource,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// On what besides.
    #[command(flatten)]
    pub devices: DevicesArgs,
    /// In what the layers of encoder and decoder compute: f32, bf16 or f16; short for --set training.precision=NAME.
    #[arg(long, value_name = "NAME")]
    pub precision: Option<Precision>,
    /// The run directory; default runs/NAME, after the preset or the file.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace the run that is in the run directory.
    #[arg(long)]
    pub overwrite: bool,
    /// Go on with the run in this directory, exactly where its newest checkpoint was made.
    #[arg(
        long,
        value_name = "RUN",
        conflicts_with_all = ["preset", "config", "set", "seed", "precision", "out", "overwrite", "init", "sanity_check"]
    )]
    pub resume: Option<PathBuf>,
    /// Start from the weights in this file instead of drawn ones: torchvision's resnet18, a model.safetensors or its run
    /// directory, or any other file that `import` takes; --set initial_weights.part=encoder and the like say what of it.
    #[arg(long, value_name = "FILE")]
    pub init: Option<PathBuf>,
    /// Try everything on two batches in a temporary folder, keep nothing.
    #[arg(long, conflicts_with_all = ["out", "overwrite"])]
    pub sanity_check: bool,
}

/// `protovae bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// A preset to measure; may be repeated. Default all.
    #[arg(long, value_name = "NAME")]
    pub preset: Vec<String>,
    /// Override one key of every preset, such as model.loss.convention=reference2022; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Images a step; default the preset's.
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Steps that are timed; the median counts.
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub steps: usize,
    /// Steps before those.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub warmup: usize,
    /// Also time relevance maps: `prp` of this many images for every prototype; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub explain: usize,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}
