//! Weights from which a run starts in place of drawn ones.

use std::path::{Path, PathBuf};

use protovae_backbones::weights::{self, Layout, Loaded, Part, StateDict};
use protovae_core::model::BoxModel;
use protovae_core::train::WeightsOrigin;
use serde::{Deserialize, Serialize};

use crate::error::{CliError, Result};
use crate::model_source::ModelSource;
use crate::session;

/// The key `initial_weights` of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitialWeights {
    /// The file, or a run directory for the model in it.
    pub path: PathBuf,
    /// How its tensors are named and laid out; default what their names tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// The part of the model that is taken from it; default everything, with torchvision's layout the backbone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// SHA-256 of the file; written by the run, and checked if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Initial weights whose file is open.
#[derive(Debug)]
pub struct Opened {
    /// The configuration with layout, part and digest filled in.
    pub resolved: InitialWeights,
    /// The tensors.
    pub stored: StateDict,
    layout: Layout,
    part: Part,
}

impl InitialWeights {
    /// Everything from a file, as its names tell.
    pub fn of_file(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            layout: None,
            part: None,
            sha256: None,
        }
    }

    /// Opens the file and decides how it is read.
    ///
    /// # Errors
    /// [`CliError::Weights`]; [`CliError::Config`] if it is not the file that it was.
    pub fn open(&self) -> Result<Opened> {
        if let ModelSource::Zoo(entry) = ModelSource::named(&self.path)? {
            return Err(CliError::Usage(format!(
                "weights are read from a file; `protovae export {} --layout protovae` writes one",
                entry.origin()
            )));
        }
        let path = session::model_path(&self.path);
        let stored = StateDict::open(&path)?;
        let found = stored.sha256().to_string();
        if let Some(expected) = &self.sha256
            && !expected.eq_ignore_ascii_case(&found)
        {
            return Err(CliError::Config {
                origin: path.display().to_string(),
                message: format!(
                    "initial_weights.sha256: the file has {found}, the configuration says {expected}; it is another \
                     file than then (drop the key to use this one)"
                ),
            });
        }
        let layout = match self.layout {
            Some(layout) => layout,
            None => stored.layout()?,
        };
        let part = self.part.unwrap_or(Part::of(layout));
        Ok(Opened {
            resolved: Self {
                path,
                layout: Some(layout),
                part: Some(part),
                sha256: Some(found),
            },
            stored,
            layout,
            part,
        })
    }

    /// For the model's card; complete once the file was opened.
    pub fn origin(&self) -> WeightsOrigin {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        WeightsOrigin {
            file: name.to_string_lossy().into_owned(),
            sha256: self.sha256.clone().unwrap_or_default(),
            layout: self
                .layout
                .map_or_else(String::new, |layout| layout.to_string()),
            part: self.part.map_or_else(String::new, |part| part.to_string()),
        }
    }
}

impl Opened {
    /// The model with these weights.
    ///
    /// # Errors
    /// [`CliError::Weights`] listing everything that does not fit.
    pub fn load(&self, model: BoxModel) -> Result<(BoxModel, Loaded)> {
        Ok(weights::load(model, &self.stored, self.layout, self.part)?)
    }

    /// Whether the file fits a model.
    pub fn fits(&self, model: &BoxModel) -> bool {
        weights::fits(model, &self.stored, self.layout, self.part)
    }

    /// The layout as which the file is read.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// One line on what came from the file.
    pub fn describe(&self, report: &Loaded, seed: u64) -> String {
        let rest = match report.kept.len() {
            0 => String::new(),
            kept => format!("; {kept} others are drawn from seed {seed}"),
        };
        format!(
            "weights: {} tensors ({}) from {}, read as {}{rest}",
            report.loaded.len(),
            self.part,
            self.resolved.path.display(),
            self.layout,
        )
    }
}
