//! `protovae measure`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{CueArgs, DeviceArgs, Split, method_help};

/// A measure of explanations or of the model itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MeasureName {
    /// Average Drop and Average Increase when half of the image is kept.
    Masking,
    /// How fast the score rises when pixels come back in the order of their relevance.
    Ordering,
    /// How far maps and similarities move under small noise.
    Robustness,
    /// Distances, usage and entropy of the prototypes.
    Diversity,
    /// Accuracy under FGSM and PGD.
    Attacks,
    /// What a planted cue does, for runs whose configuration plants one: predictions, prototypes, and both without those that
    /// show it. Never by default.
    Cue,
}

/// Which half of the image masking keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeepName {
    /// The most relevant.
    Most,
    /// The least relevant.
    Least,
}

/// What replaces pixels that are taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NoiseName {
    /// Uniform over the range of pixels.
    Uniform,
    /// Each pixel that of some measured image.
    Shuffled,
}

/// `protovae measure`.
#[derive(Debug, Args)]
pub struct MeasureArgs {
    /// A run directory or zoo:NAME.
    pub run: PathBuf,
    /// An explainer to measure; may be repeated. Default all; the random map is always among them.
    #[arg(long = "method", value_name = "NAME", help = method_help(MEASURED))]
    pub methods: Vec<String>,
    /// How many images, drawn from the split by the seed. Default 500; for the measure cue all.
    #[arg(long, value_name = "N")]
    pub images: Option<usize>,
    /// A measure; may be repeated. Default all but cue.
    #[arg(long = "measure", value_name = "NAME", value_enum)]
    pub measures: Vec<MeasureName>,
    /// The part of the data set.
    #[arg(long, value_enum, default_value = "test")]
    pub split: Split,
    /// The seed of the choice of images, the noise and the random map.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Which half of the image masking keeps.
    #[arg(long, value_enum, default_value = "most")]
    pub keep: KeepName,
    /// What masking and ordering put where pixels are taken away.
    #[arg(long, value_enum, default_value = "shuffled")]
    pub noise: NoiseName,
    /// Write everything as JSON to this file, with the values of each image.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print the tables as Markdown.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// What is asked of a planted cue.
    #[command(flatten)]
    pub cue: CueArgs,
    /// Folder with the data sets, if it has moved since the training.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

const MEASURED: &str =
    "An explainer to measure; may be repeated. Default all; the random map is always among them";
