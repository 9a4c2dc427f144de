//! The arguments of `protovae reproduce`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::DeviceArgs;
use crate::reproduce::plan::parse_duration;

/// `protovae reproduce`.
#[derive(Debug, Args)]
pub struct ReproduceArgs {
    /// table1 to table8, fig2 to fig16, s6.10, systems, or all; `list` says what each is; `collect` gathers what job arrays have run.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Runs of everything that a table is the mean of, with seeds from 0.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// The time that all may take, such as 30m: fewer seeds, then fewer epochs, each said. The same command repeated keeps to the
    /// plan that it made first.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub budget: Option<f64>,
    /// Passes over the training set in place of the paper's, for everything.
    #[arg(long, value_name = "N")]
    pub epochs: Option<NonZeroUsize>,
    /// Override one key of every run, such as data.train_limit=1000; may be repeated. What was changed so is not compared with
    /// the paper, unless it is where data or initial weights lie.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Show the plan with its estimated time, and train nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// The folder of runs and results; runs that are there are skipped or gone on with.
    #[arg(long, value_name = "DIR", default_value = "reproduction")]
    pub out: PathBuf,
    /// Run this one of the plan's runs, by its number from 0, and nothing else: a task of a job array.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["dry_run", "budget"])]
    pub task: Option<usize>,
    /// Print a command for each run, for xargs or GNU parallel, and train nothing.
    #[arg(long, conflicts_with_all = ["dry_run", "task"])]
    pub commands: bool,
    /// Submit the runs to Slurm as a job array, one task a run, and train nothing here.
    #[arg(long, conflicts_with_all = ["dry_run", "task", "commands"])]
    pub slurm: bool,
    /// An option for sbatch, such as --partition=gpu; may be repeated.
    #[arg(
        long,
        value_name = "OPTION",
        requires = "slurm",
        allow_hyphen_values = true
    )]
    pub sbatch: Vec<String>,
    /// With `collect`: a results.json that another machine wrote, of whatever item; what it has and this folder has not goes into the
    /// tables. May be repeated.
    #[arg(long, value_name = "FILE")]
    pub with: Vec<PathBuf>,
    /// Folder with the data sets.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}
