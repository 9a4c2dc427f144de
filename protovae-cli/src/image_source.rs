//! The images that `predict` and `explain` are asked about.

use std::path::{Path, PathBuf};

use protovae_core::train::ModelCard;
use protovae_data::picture::read_inverted_picture;
use protovae_data::{ImageShape, read_picture};

use crate::error::{CliError, Result};
use crate::model_source::ModelSource;
use crate::output::Voice;

/// An image, and where it is from.
#[derive(Debug)]
pub enum ImageSource<'a> {
    /// A picture of the user's.
    File(&'a Path),
    /// A test image by its number and pixels; it is what the data set says.
    Test(usize, Vec<f32>),
    /// A sample of a model of the zoo: its class by number and name, and its pixels.
    Sample(usize, String, Vec<f32>),
}

impl ImageSource<'_> {
    /// As the user named it.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Test(number, _) => format!("test image {number}"),
            Self::Sample(_, class, _) => format!("sample of {class}"),
        }
    }

    /// The name of the files that are written for it.
    pub fn stem(&self) -> String {
        match self {
            Self::File(path) => path
                .file_stem()
                .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
            Self::Test(number, _) => format!("test-{number}"),
            Self::Sample(number, ..) => format!("sample-{number}"),
        }
    }

    /// `C·H·W` values in `[-1, 1]`; of a picture with dark and light swapped, if `invert`.
    pub fn pixels(&self, shape: ImageShape, invert: bool) -> Result<Vec<f32>> {
        match self {
            Self::Test(_, pixels) | Self::Sample(_, _, pixels) => Ok(pixels.clone()),
            Self::File(path) if invert => Ok(read_inverted_picture(path, shape)?),
            Self::File(path) => Ok(read_picture(path, shape)?),
        }
    }
}

/// The pictures that are named; without any, the samples of a model of the zoo.
///
/// # Errors
/// [`CliError::Usage`] if none are named and the model has no samples.
pub fn images<'a>(
    named: &'a [PathBuf],
    source: &ModelSource,
    card: &ModelCard,
    voice: Voice,
) -> Result<Vec<ImageSource<'a>>> {
    if !named.is_empty() {
        return Ok(named.iter().map(|path| ImageSource::File(path)).collect());
    }
    let ModelSource::Zoo(entry) = source else {
        return Err(CliError::Usage("no picture is named".to_string()));
    };
    voice.note(format!(
        "no picture is named: these are {}'s samples, the first test image of each class",
        entry.origin()
    ));
    let names = card.class_names.iter().enumerate();
    let samples = names.zip(entry.samples(card)?);
    Ok(samples
        .map(|((number, name), pixels)| ImageSource::Sample(number, name.clone(), pixels))
        .collect())
}
