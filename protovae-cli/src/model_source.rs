//! What a user names where a command takes a run: a run directory, a model file, or a model of the zoo.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use protovae_core::model::BoxModel;
use protovae_core::train::{MetricsLine, ModelCard, RunDirectory, load_model};
use protovae_explain::views::StrangenessDetector;

use crate::config::{self, RunConfig};
use crate::error::{CliError, Result};
use crate::zoo::{self, ZooModel};
use crate::{files, session, tables};

/// Where a model is, and what is known of it besides.
#[derive(Debug)]
pub enum ModelSource {
    /// A folder, a run directory as a rule.
    Directory(PathBuf),
    /// A model file.
    File(PathBuf),
    /// A model that comes with the program.
    Zoo(&'static ZooModel),
}

impl ModelSource {
    /// What is meant by an argument. `zoo:NAME` is a model of the zoo, unless there is a file or folder of that name.
    ///
    /// # Errors
    /// [`CliError::Usage`] for a model that the zoo does not have, and for the name of one without `zoo:`.
    pub fn named(run: &Path) -> Result<Self> {
        if run.is_dir() {
            return Ok(Self::Directory(run.to_path_buf()));
        }
        if !run.exists() {
            let text = run.to_str().unwrap_or_default();
            if let Some(name) = text.strip_prefix(zoo::PREFIX) {
                return Ok(Self::Zoo(zoo::find(name)?));
            }
            if zoo::find(text).is_ok() {
                return Err(CliError::Usage(format!(
                    "there is no file or folder {text}; the model of that name that comes with the program is zoo:{text}"
                )));
            }
        }
        Ok(Self::File(run.to_path_buf()))
    }

    /// The model, for evaluation.
    ///
    /// # Errors
    /// As [`load_model`]; a model of the zoo that is not what its entry says.
    pub fn load(&self, device: &Device) -> Result<(BoxModel, ModelCard)> {
        match self {
            Self::Directory(path) if !self.path().is_file() => {
                let reason = match RunDirectory::open(path) {
                    Ok(_) => format!(
                        "is not there yet; finish the run with `protovae train --resume {}`",
                        path.display()
                    ),
                    Err(_) => "is not there: the folder is no run directory".to_string(),
                };
                Err(CliError::Core(protovae_core::Error::Damaged {
                    path: self.path(),
                    reason,
                }))
            }
            Self::Directory(path) | Self::File(path) => {
                Ok(load_model(&session::model_path(path), device)?)
            }
            Self::Zoo(entry) => entry.load(device),
        }
    }

    /// The configuration of the run.
    ///
    /// # Errors
    /// If there is none, as of a model file alone.
    pub fn config(&self) -> Result<RunConfig> {
        match self {
            Self::Directory(path) | Self::File(path) => {
                config::load_file(&RunDirectory::open(path)?.config())
            }
            Self::Zoo(entry) => config::parse_text(entry.config, &entry.origin()),
        }
    }

    /// The log of the run.
    ///
    /// # Errors
    /// If there is none, as of a model file alone.
    pub fn metrics(&self) -> Result<Vec<MetricsLine>> {
        match self {
            Self::Directory(path) | Self::File(path) => {
                Ok(RunDirectory::open(path)?.read_metrics()?)
            }
            Self::Zoo(entry) => entry.metrics(),
        }
    }

    /// What tells images unlike the training set's: from the file beside the model, else from the model's card.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn detector(&self, card: &ModelCard) -> Result<Option<StrangenessDetector>> {
        if let Self::Directory(path) | Self::File(path) = self
            && let Some(detector) = tables::strangeness(&session::model_path(path))?
        {
            return Ok(Some(detector));
        }
        let Some(inside) = &card.strangeness else {
            return Ok(None);
        };
        serde_json::from_value(inside.clone())
            .map(Some)
            .map_err(|error| {
                CliError::Core(protovae_core::Error::Damaged {
                    path: self.path(),
                    reason: format!("its card's `strangeness`: {error}"),
                })
            })
    }

    /// The model file, or the name that messages call it.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Directory(path) | Self::File(path) => session::model_path(path),
            Self::Zoo(entry) => entry.origin().into(),
        }
    }

    /// Refuses to write a result over the model that it is made from.
    ///
    /// # Errors
    /// [`CliError::Usage`].
    pub fn check_apart(&self, out: &Path) -> Result<()> {
        if files::same(out, &self.path()) {
            return Err(CliError::Usage(format!(
                "{} is the model itself, which is to stay as it is; choose another --out",
                out.display()
            )));
        }
        Ok(())
    }

    /// Where a file goes that nothing was said about: beside the model; for a model of the zoo here, under its name.
    pub fn beside(&self, name: &str) -> PathBuf {
        match self {
            Self::Directory(path) => path.join(name),
            Self::File(path) => path.with_file_name(name),
            Self::Zoo(entry) => PathBuf::from(format!("{}-{name}", entry.name)),
        }
    }
}
