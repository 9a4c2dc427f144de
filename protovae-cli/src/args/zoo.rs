//! The arguments of `protovae zoo`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use protovae_core::Precision;

use super::DeviceArgs;

/// `protovae zoo`.
#[derive(Debug, Args)]
pub struct ZooArgs {
    /// What to do; without anything, list.
    #[command(subcommand)]
    pub action: Option<ZooAction>,
}

/// What to do with the zoo.
#[derive(Debug, Subcommand)]
pub enum ZooAction {
    /// List the models that come with the program: how good, how large, from what data, by which command.
    List,
    /// Write what the zoo has of a model: a small run directory, which every command takes, with weights of 16 bits.
    Pack(PackArgs),
}

/// `protovae zoo pack`.
#[derive(Debug, Args)]
pub struct PackArgs {
    /// A run directory.
    pub run: PathBuf,
    /// The folder to make.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// In what weights are stored: f16, bf16 or f32.
    #[arg(long, value_name = "NAME", default_value = "f16")]
    pub precision: Precision,
    /// Replace the run that is in the folder.
    #[arg(long)]
    pub overwrite: bool,
    /// Folder with the data sets, if it has moved since the training.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}
