//! Models that come with the program.

mod manifest;

use std::path::Path;

use burn::tensor::Device;
use protovae_core::model::BoxModel;
use protovae_core::train::{MetricsLine, ModelCard, parse_model};
use protovae_data::ImageShape;
use protovae_data::picture::parse_picture;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::{CliError, Result};
use crate::suggest::did_you_mean;

pub use manifest::MODELS;

/// What stands before a model's name where a run is named.
pub const PREFIX: &str = "zoo:";

/// A model that comes with the program, and what is to be known of it.
#[derive(Debug, Serialize)]
pub struct ZooModel {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// The data set it was trained on, as `data list` names it.
    pub data: &'static str,
    /// Under which terms those images are.
    pub licence: &'static str,
    /// The command that trained it.
    pub command: &'static str,
    /// The commit of this project whose program ran that command.
    pub commit: &'static str,
    /// The share of the set's test images that the trained weights classify rightly, in 32 bits.
    pub accuracy_f32: f64,
    /// The same with the weights as they are here.
    pub accuracy: f64,
    /// SHA-256 of the model file.
    pub sha256: &'static str,
    /// The model file.
    #[serde(skip)]
    pub model: &'static [u8],
    /// The run's configuration.
    #[serde(skip)]
    pub config: &'static str,
    /// The run's epochs, as lines of JSON.
    #[serde(skip)]
    pub metrics: &'static str,
    /// A picture with a test image of each class, side by side.
    #[serde(skip)]
    pub samples: &'static [u8],
}

/// The model of that name.
///
/// # Errors
/// [`CliError::Usage`] with the nearest right name.
pub fn find(name: &str) -> Result<&'static ZooModel> {
    MODELS
        .iter()
        .find(|model| model.name == name)
        .ok_or_else(|| {
            let names: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
            CliError::Usage(format!(
                "there is no model `{name}` in the zoo{}; `protovae zoo` lists them",
                did_you_mean(name, &names)
            ))
        })
}

impl ZooModel {
    /// As a user names it.
    pub fn origin(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    fn damaged(&self, reason: impl std::fmt::Display) -> CliError {
        CliError::Core(protovae_core::Error::Damaged {
            path: self.origin().into(),
            reason: reason.to_string(),
        })
    }

    /// The model, for evaluation.
    ///
    /// # Errors
    /// If the file in the program is not the one of the manifest, or cannot be read.
    pub fn load(&self, device: &Device) -> Result<(BoxModel, ModelCard)> {
        let found = digest(self.model);
        if found != self.sha256 {
            return Err(self.damaged(format!(
                "the program holds another file than its manifest says (SHA-256 {found}, not {}); build or install it anew",
                self.sha256
            )));
        }
        Ok(parse_model(self.model, self.origin().as_ref(), device)?)
    }

    /// The epochs of its training.
    ///
    /// # Errors
    /// If a line is none.
    pub fn metrics(&self) -> Result<Vec<MetricsLine>> {
        let lines = self.metrics.lines();
        let read = lines.map(serde_json::from_str);
        read.collect::<std::result::Result<_, _>>()
            .map_err(|error| self.damaged(format!("its metrics: {error}")))
    }

    /// A test image of each class, in the classes' order: `C·H·W` values in `[-1, 1]` each.
    ///
    /// # Errors
    /// If the picture is not one.
    pub fn samples(&self, card: &ModelCard) -> Result<Vec<Vec<f32>>> {
        let image = card.image;
        let classes = card.class_names.len();
        let shape = ImageShape::new(image.channels, image.height, image.width * classes);
        let name = format!("{}, samples.png", self.origin());
        let strip = parse_picture(self.samples, Path::new(&name), shape)?;
        // Each of its rows, channel by channel, has a row of every class in turn.
        let mut samples =
            vec![Vec::with_capacity(image.channels * image.height * image.width); classes];
        for row in strip.chunks_exact((image.width * classes).max(1)) {
            for (sample, part) in samples.iter_mut().zip(row.chunks_exact(image.width.max(1))) {
                sample.extend_from_slice(part);
            }
        }
        Ok(samples)
    }
}

/// SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use protovae_core::train::Figures;

    #[test]
    fn every_entry_is_what_it_says() {
        for entry in &MODELS {
            let (_, card) = entry.load(&Device::flex()).unwrap();
            assert_eq!(card.data, entry.data, "{}", entry.name);
            assert!(card.stored_as.is_some() && card.strangeness.is_some());
            let metrics = entry.metrics().unwrap();
            let Some(MetricsLine::Epoch(last)) = metrics.last() else {
                panic!("{}: no epoch", entry.name);
            };
            let Figures { accuracy, .. } = last.test;
            assert_eq!(accuracy, entry.accuracy_f32, "{}", entry.name);
            assert_eq!(last.epoch, card.epochs, "{}", entry.name);
            let config = crate::config::parse_text(entry.config, entry.name).unwrap();
            assert_eq!(config.seed, card.seed);
            assert_eq!(
                serde_json::to_value(&config.model).unwrap(),
                card.model,
                "{}",
                entry.name
            );
            let samples = entry.samples(&card).unwrap();
            assert_eq!(samples.len(), card.class_names.len());
            let picture = image::load_from_memory(entry.samples).unwrap();
            assert_eq!(
                (picture.width() as usize, picture.height() as usize),
                (card.image.width * samples.len(), card.image.height),
                "{}: stretched",
                entry.name
            );
        }
    }

    #[test]
    fn every_folder_has_an_entry() {
        // As cargo says when it runs the test: with a shared target directory it may have been built in another checkout.
        let package = std::env::var_os("CARGO_MANIFEST_DIR");
        let package = package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let mut folders: Vec<String> = std::fs::read_dir(package.join("models"))
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        folders.sort();
        let mut names: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
        names.sort_unstable();
        assert_eq!(folders, names);
    }

    #[test]
    fn another_file_than_the_manifest_s_is_refused() {
        let entry = ZooModel {
            sha256: "0000",
            name: "mnist",
            ..MODELS[0]
        };
        let message = entry
            .load(&Device::flex())
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("zoo:mnist: the program holds another file"),
            "{message}"
        );
    }
}
