//! Pictures have to be named, but for models that bring samples; clap has no rule for that.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::{Cli, Command};
use crate::zoo::PREFIX;

/// Whether an argument names a model of the zoo.
fn is_of_the_zoo(run: &Path) -> bool {
    run.to_str().is_some_and(|run| run.starts_with(PREFIX))
}

impl Cli {
    /// Parses a command line, the first of whose words is the program's name.
    ///
    /// # Errors
    /// What clap says of it, and where pictures are missing.
    pub fn parsed<I, T>(arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        let cli = Self::try_parse_from(arguments)?;
        let missing = |run: &Path, images: &[PathBuf]| images.is_empty() && !is_of_the_zoo(run);
        let (name, otherwise) = match &cli.command {
            Command::Predict(predict) if missing(&predict.run, &predict.images) => ("predict", ""),
            Command::Explain(explain)
                if explain.test.is_empty() && missing(&explain.run, &explain.images) =>
            {
                ("explain", ", or test images by --test 0,1,2")
            }
            _ => return Ok(cli),
        };
        let mut command = Self::command();
        command.build();
        let message = format!("no picture is named; name PNG, JPEG, WebP or BMP files{otherwise}");
        Err(match command.find_subcommand_mut(name) {
            Some(command) => command.error(ErrorKind::MissingRequiredArgument, message),
            None => command.error(ErrorKind::MissingRequiredArgument, message),
        })
    }
}
