//! The command line.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use protovae_backbones::weights::Layout;
use protovae_core::Precision;

mod compare;
mod compute;
mod cue;
mod measure;
mod pictures;
mod reproduce;
mod zoo;

pub use compare::{CompareArgs, TableFormat};
pub use compute::{BenchArgs, DeviceArgs, DevicesArgs, TrainArgs};
pub use cue::{CueArgs, RemovalArgs};
pub use measure::{KeepName, MeasureArgs, MeasureName, NoiseName};
pub use reproduce::ReproduceArgs;
pub use zoo::{PackArgs, ZooAction, ZooArgs};

/// Train, judge and show self-explainable image classifiers with prototypes (ProtoVAE).
#[derive(Debug, Parser)]
#[command(
    name = "protovae",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 done, 1 the work failed, 2 the command line or the configuration is wrong.\n\
Start with `protovae train`: it needs no data, no network and no further argument."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Say less: no progress, no summary.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more: the resolved configuration and every metrics line.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print JSON on standard output, one object a line, for other programs.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model; without arguments, a ProtoVAE on the embedded real data set mnist-5k.
    Train(TrainArgs),
    /// Accuracy and every loss term of a trained model.
    Eval(EvalArgs),
    /// Classify pictures (PNG, JPEG, WebP, BMP) and name the prototypes that they are most similar to.
    Predict(PredictArgs),
    /// Show a model's prototypes: a picture, and how each one is used; or take some of them out.
    Prototypes(PrototypesArgs),
    /// Explain predictions: which prototypes speak for them, and which pixels for each prototype.
    Explain(ExplainArgs),
    /// What explanations are worth: masking, ordering, robustness, attacks and diversity, beside a random map.
    Measure(MeasureArgs),
    /// Rebuild a table or figure of the paper by name: train what it takes, and set the results beside the paper's numbers.
    Reproduce(ReproduceArgs),
    /// Several runs side by side: accuracy, size, speed, and what their explanations and prototypes are worth.
    Compare(CompareArgs),
    /// Everything about a run on one HTML page that opens from disk: curves, prototypes, reasons, measures, warnings.
    Report(ReportArgs),
    /// Read weights of PyTorch programs (a ProtoVAE checkpoint, torchvision's resnet18) into a model that every command takes.
    Import(ImportArgs),
    /// Write a model's weights as PyTorch programs name and lay them out, or as a smaller model file of our own.
    Export(ExportArgs),
    /// Models that come with the program: every command takes them as zoo:NAME in place of a run.
    Zoo(ZooArgs),
    /// How fast this machine trains and evaluates: images a second for every preset.
    Bench(BenchArgs),
    /// The data sets: what there are, get them, check them, look at them.
    Data(DataArgs),
    /// Look at configurations and presets.
    Config(ConfigArgs),
    /// What this build and this machine can do: devices, versions, data sets, and how to get what is missing.
    Doctor(DoctorArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Where a configuration comes from; later sources override earlier ones.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigSource {
    /// A named configuration; `protovae config show` lists them. Default mnist-5k unless --config is given.
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// A JSON file; it overrides the preset if one is named, and stands alone otherwise.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override one key, such as model.prototypes_per_class=20; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The seed of everything random.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Passes over the training set.
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Folder with the data sets.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// `protovae import`.
#[derive(Debug, Args)]
#[command(mut_arg("preset", |arg| {
    arg.help("The named configuration whose model has these weights; `protovae config show` lists them")
}))]
pub struct ImportArgs {
    /// The weights: safetensors, or PyTorch's .pth or .pt. No code in the file is run.
    pub file: PathBuf,
    /// The configuration of the model; a file that `protovae export` wrote has its own.
    #[command(flatten)]
    pub source: ConfigSource,
    /// How the tensors are named and laid out; default what the names tell.
    #[arg(long, value_name = "NAME", value_parser = layouts(&Layout::ALL))]
    pub layout: Option<Layout>,
    /// The run directory to make; default runs/NAME, after the file.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace the run that is in the run directory.
    #[arg(long)]
    pub overwrite: bool,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// A kind of file that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Named tensors without code; `safetensors.torch.load_file` reads them in Python.
    Safetensors,
}

/// `protovae export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A run directory, a model.safetensors or zoo:NAME.
    pub run: PathBuf,
    /// The names and layouts: pytorch (every model), reference2022 (the authors' code, small networks), torchvision
    /// (resnet18, the encoder alone), or protovae: a model file that predict, explain, prototypes, export and train --init
    /// take, with the thresholds for strange images in it.
    #[arg(long, value_name = "NAME", default_value = "pytorch", value_parser = layouts(&Layout::ALL))]
    pub layout: Layout,
    /// In what the weights of a layout protovae are stored: f32, f16 (half the size) or bf16.
    #[arg(long, value_name = "NAME", default_value = "f32")]
    pub precision: Precision,
    /// The kind of file.
    #[arg(long, value_enum, default_value = "safetensors")]
    pub format: ExportFormat,
    /// The file to write; default model-LAYOUT.safetensors beside the model (layout protovae: model-PRECISION.safetensors).
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(long)]
    pub overwrite: bool,
}

/// Reads the name of one of these layouts.
fn layouts(layouts: &[Layout]) -> impl TypedValueParser<Value = Layout> + use<> {
    let names = layouts.iter().map(|layout| layout.name());
    PossibleValuesParser::new(names)
        .try_map(|name| Layout::named(&name).ok_or("there is no such layout"))
}

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Split {
    /// What the model was trained on.
    Train,
    /// What it was not.
    Test,
}

/// `protovae eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// A run directory or zoo:NAME.
    pub run: PathBuf,
    /// The part of the data set.
    #[arg(long, value_enum, default_value = "test")]
    pub split: Split,
    /// Evaluate on other data of the same shape and classes, such as --set data.type=mnist-5k; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Folder with the data sets, if it has moved since the training.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// `protovae predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// A run directory, a model.safetensors or zoo:NAME.
    pub run: PathBuf,
    /// The pictures; without any, the samples of a model of the zoo.
    pub images: Vec<PathBuf>,
    /// Prototypes to name for each picture.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub prototypes: usize,
    /// Swap dark and light first: for dark ink on light paper and a model of light digits on black.
    #[arg(long)]
    pub invert: bool,
    /// Classify pictures that are unlike the training images as well, without saying so.
    #[arg(long)]
    pub never_abstain: bool,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// `protovae explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A run directory, a model.safetensors or zoo:NAME.
    pub run: PathBuf,
    /// The pictures; without any and without --test, the samples of a model of the zoo.
    pub images: Vec<PathBuf>,
    /// Images of the run's test set as well, by their numbers from 0, such as 0,17,256.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub test: Vec<usize>,
    /// The prototypes; what follows is the help's text, whose brackets rustdoc would take for links.
    #[arg(
        long,
        value_name = "WHICH",
        default_value = "top3",
        help = "topN (those that speak most for the predicted class), all, or CLASS:NUMBER[,CLASS:NUMBER...]"
    )]
    pub prototypes: String,
    /// The method, by name or by recipe; default what suits the model.
    #[arg(long, value_name = "NAME", help = method_help(&format!("The method; {SUITED}")))]
    pub method: Option<String>,
    /// Folder for the pictures, made if need be.
    #[arg(long, value_name = "DIR", default_value = "explanations")]
    pub out: PathBuf,
    /// Write the relevance itself as well, as NumPy arrays of prototypes × channels × height × width.
    #[arg(long)]
    pub maps: bool,
    /// Draw all images into this one picture as well, a row each.
    #[arg(long, value_name = "FILE")]
    pub sheet: Option<PathBuf>,
    /// Swap dark and light of the pictures first: for dark ink on light paper and a model of light digits on black.
    #[arg(long)]
    pub invert: bool,
    /// Folder with the data sets, if it has moved since the training.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// `protovae report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A run directory or zoo:NAME.
    pub run: PathBuf,
    /// The page to write; default report.html in the run directory.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The method that explains the predictions; default what suits the model.
    #[arg(long, value_name = "NAME", help = method_help(&format!("The method that explains the predictions; {SUITED}")))]
    pub method: Option<String>,
    /// Test images on which explanations are measured; 0 for no measures.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub images: usize,
    /// Wrong predictions that are explained, and right ones.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub predictions: usize,
    /// Folder with the data sets, if it has moved since the training.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// `protovae prototypes`.
#[derive(Debug, Args)]
pub struct PrototypesArgs {
    /// A run directory, a model.safetensors or zoo:NAME.
    pub run: PathBuf,
    /// The picture to write; default prototypes.png beside the model.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Prototypes that are to count no more.
    #[command(flatten)]
    pub removal: RemovalArgs,
    /// Folder with the data sets, if it has moved since the training. Only --remove and prototypes that come from training images
    /// need it.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

const SUITED: &str = "default similarity-map for models that compare patches, prp for those whose encoder it can walk, integrated-gradients for others";

/// Names the explainers there are.
fn method_help(what: &str) -> String {
    let names = protovae_explain::explainers::known_names().join(", ");
    format!(
        r#"{what}. One of {names}; or a recipe, such as '{{"type": "occlusion", "window": 6}}'"#
    )
}

/// `protovae data`.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub action: DataAction,
}

/// What to do with data sets.
#[derive(Debug, Subcommand)]
pub enum DataAction {
    /// List the published sets: size, licence, where they come from.
    List,
    /// Get published sets: from their publishers, a mirror, or a folder. Nothing else in protovae touches the network.
    Fetch {
        /// The sets, as `data list` names them.
        #[arg(required = true, value_name = "SET")]
        sets: Vec<String>,
        /// Take the files from this folder; touches no network.
        #[arg(long, value_name = "DIR", conflicts_with = "mirror")]
        from: Option<PathBuf>,
        /// An address (http or https) that has the sets' files, tried before the publishers'.
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
        /// Folder with the data sets; default the one where they are looked for.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Compare sets on this machine with what was published: counts, shape, classes, every pixel.
    Verify {
        /// The sets, as `data list` names them.
        #[arg(required = true, value_name = "SET")]
        sets: Vec<String>,
        /// Folder with the data sets.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Count classes, measure pixels, and draw a contact sheet.
    Stats {
        /// The set: any that a configuration can name as data.type.
        #[arg(value_name = "SET")]
        set: String,
        /// Override one key of it, such as data.path=FOLDER; may be repeated.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        overrides: Vec<String>,
        /// Which part of it.
        #[arg(long, value_enum, default_value = "train")]
        split: Split,
        /// The contact sheet to write; default SET.png here.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Images of each class on the contact sheet.
        #[arg(long, value_name = "N", default_value_t = 12)]
        columns: usize,
        /// Folder with the data sets.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
}

/// `protovae doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Folder with the data sets.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// `protovae config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub action: ConfigAction,
}

/// What to do with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Print the configuration with all defaults, or the names of all presets.
    Show {
        /// The configuration; without any, the presets are listed.
        #[command(flatten)]
        source: ConfigSource,
    },
    /// Check a configuration without training, down to building its model.
    Check {
        /// The configuration.
        #[command(flatten)]
        source: ConfigSource,
    },
}
