//! The arguments of `protovae compare`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{DeviceArgs, method_help};

/// How a table is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// Columns for a terminal.
    Text,
    /// Markdown.
    Markdown,
    /// Comma-separated values, a row a system.
    Csv,
}

/// `protovae compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Run directories. Runs that differ by their seed alone become one row, with deviations.
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The method whose maps are measured, the same for every system.
    #[arg(long, value_name = "NAME", default_value = "gradient-times-input", help = method_help("The method whose maps are measured, the same for every system"))]
    pub method: String,
    /// Test images on which explanations and robustness are measured; 0 for no measures.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub images: usize,
    /// How the table is printed; with --json it is JSON.
    #[arg(long, value_enum, default_value = "text")]
    pub format: TableFormat,
    /// Write an HTML page with the figures, and each system's prototypes in rows.
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
    /// Write the paper's Figures 4 to 8 of these runs to this folder, as PNG.
    #[arg(long, value_name = "DIR")]
    pub figures: Option<PathBuf>,
    /// The classes that Figures 4 to 8 show; default lion, banana and carrot (the paper's) where the data have them, else the first three.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub classes: Vec<String>,
    /// Folder with the data sets, if it has moved since the training.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}
