//! `model.safetensors`: weights, and everything needed to use them, in one file without code in it.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use burn::module::Module;
use burn::store::{FloatCastAdapter, ModuleSnapshot, SafetensorsStore};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::files::write_atomically;
use super::narrow::{Narrow, computed};
use crate::error::{Error, Result};
use crate::image_shape::ImageShape;
use crate::model::{BoxModel, ModelConfig, ModelSpec};
use crate::precision::Precision;
use crate::random::Initializer;

/// Version of the card; files with a higher one are refused.
const FORMAT: u32 = 1;

/// A header may be this long at most; ours are a few kilobytes.
const LONGEST_HEADER: u64 = 16 << 20;

/// Bytes of a weight, at least: 16 bits.
const SHORTEST_VALUE: usize = 2;

/// What a model file says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Version of this card's format.
    pub format: u32,
    /// Version of the crate that wrote the file.
    pub version: String,
    /// The model's recipe, fully resolved.
    pub model: serde_json::Value,
    /// The name under which its figures are reported, such as the convention of the losses.
    pub reported_as: String,
    /// Images it takes.
    pub image: ImageShape,
    /// The pixel value that black (0) becomes and the one that white (255) becomes.
    pub normalisation: [f64; 2],
    /// A name for each class.
    pub class_names: Vec<String>,
    /// The data set it was trained on.
    pub data: String,
    /// SHA-256 over that data set's shape, labels and pixels; empty where it is not known, as of imported weights.
    pub data_digest: String,
    /// The run's seed.
    pub seed: u64,
    /// Epochs trained.
    pub epochs: usize,
    /// The file that its weights came from before it was trained, if it did not start from drawn ones alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_weights: Option<WeightsOrigin>,
    /// In what the file stores its weights, if in fewer than 32 bits. Saving sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_as: Option<Precision>,
    /// What tells images unlike the training set's, as `protovae-explain` writes it, if the file has it in itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strangeness: Option<serde_json::Value>,
    /// How the training images differed from those of the data set, a sentence each; the digest is that of the changed ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_changes: Vec<String>,
    /// Prototypes, rows of the bank in ascending order, that were taken out of the classification after training.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed_prototypes: Vec<usize>,
}

/// A file of weights from which a model started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsOrigin {
    /// The file's name, without its folder.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The layout that it was read as.
    pub layout: String,
    /// The part of the model that came from it.
    pub part: String,
}

impl ModelCard {
    /// The key of the card in the metadata of a file's header, by which model files are known.
    pub const KEY: &str = "protovae";

    /// A card of this crate's version.
    pub fn new(model: serde_json::Value, reported_as: String, image: ImageShape) -> Self {
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_string(),
            model,
            reported_as,
            image,
            normalisation: [-1.0, 1.0],
            class_names: Vec::new(),
            data: String::new(),
            data_digest: String::new(),
            seed: 0,
            epochs: 0,
            initial_weights: None,
            stored_as: None,
            strangeness: None,
            data_changes: Vec::new(),
            removed_prototypes: Vec::new(),
        }
    }

    /// Whether the model is known to have been trained on other data than those with this digest.
    pub fn knows_other_data(&self, digest: &str) -> bool {
        !self.data_digest.is_empty() && self.data_digest != digest
    }
}

/// Writes model and card with weights of 32 bits; the same model and card give the same bytes.
///
/// # Errors
/// [`Error::Io`], or [`Error::Damaged`] if a tensor cannot be written.
pub fn save_model(path: &Path, model: &BoxModel, card: &ModelCard) -> Result<()> {
    save_model_as(path, model, card, Precision::F32)
}

/// As [`save_model`], with floating-point tensors rounded to the nearest number of that precision: `f16` halves the file.
///
/// A tensor of whole numbers up to 2²⁴ that would be rounded stays as it is: such are places in a data set, not weights.
/// What was rounded is loaded in 32 bits again, by [`load_model`] as from any file.
///
/// ```no_run
/// use burn::tensor::Device;
/// use protovae_core::Precision;
/// use protovae_core::train::{load_model, save_model_as};
///
/// let (model, card) = load_model("runs/mnist/model.safetensors".as_ref(), &Device::flex())?;
/// save_model_as("small.safetensors".as_ref(), &model, &card, Precision::F16)?;
/// # Ok::<(), protovae_core::Error>(())
/// ```
///
/// # Errors
/// As [`save_model`]; [`Error::Config`] naming a tensor with a value beyond the range, which nothing is written for.
pub fn save_model_as(
    path: &Path,
    model: &BoxModel,
    card: &ModelCard,
    precision: Precision,
) -> Result<()> {
    let card = ModelCard {
        stored_as: precision.is_lower().then_some(precision),
        ..card.clone()
    };
    let card = serde_json::to_string(&card).map_err(|error| Error::damaged(path, error))?;
    // `valid` first, which brings running statistics up to date.
    let model = model.valid();
    // One metadata key only: safetensors writes several in the order of a randomly seeded hash map.
    let mut store = SafetensorsStore::from_bytes(None)
        .clear_metadata()
        .metadata(ModelCard::KEY, card)
        .with_to_adapter(Narrow::of(&model, precision)?);
    model
        .save_into(&mut store)
        .map_err(|error| Error::damaged(path, error))?;
    let bytes = store
        .get_bytes()
        .map_err(|error| Error::damaged(path, error))?;
    write_atomically(path, &bytes)
}

/// Reads the card of a model file without its weights.
///
/// # Errors
/// [`Error::Io`]; [`Error::Damaged`] for a file that is not one of ours.
pub fn read_card(path: &Path) -> Result<ModelCard> {
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let whole = file.metadata().map_err(Error::io("read", path))?.len();
    let mut length = [0u8; 8];
    file.read_exact(&mut length).map_err(|_| too_short(path))?;
    let mut header = vec![0u8; header_length(length, whole, path)?];
    file.read_exact(&mut header)
        .map_err(Error::io("read", path))?;
    card_of(&header, path)
}

fn too_short(path: &Path) -> Error {
    Error::damaged(path, "is too short to be a safetensors file")
}

/// The length of the header of a file of `whole` bytes, by its first eight.
fn header_length(first: [u8; 8], whole: u64, path: &Path) -> Result<usize> {
    let length = u64::from_le_bytes(first);
    if length > LONGEST_HEADER || length.saturating_add(8) > whole {
        return Err(Error::damaged(
            path,
            format!(
                "is no safetensors file, or a truncated one ({whole} bytes, header of {length})"
            ),
        ));
    }
    Ok(length as usize)
}

/// The card in a header, the part of a file after the first eight bytes.
fn card_of(header: &[u8], path: &Path) -> Result<ModelCard> {
    let header: serde_json::Value =
        serde_json::from_slice(header).map_err(|error| Error::damaged(path, error))?;
    let card = header
        .get("__metadata__")
        .and_then(|metadata| metadata.get(ModelCard::KEY))
        .and_then(serde_json::Value::as_str)
        .ok_or_else(|| {
            Error::damaged(
                path,
                "is a safetensors file, but not a protovae model (no card); weights of other programs, and exports for them, are read by `protovae import`",
            )
        })?;
    let card: ModelCard =
        serde_json::from_str(card).map_err(|error| Error::damaged(path, error))?;
    if card.format > FORMAT {
        return Err(Error::damaged(
            path,
            format!(
                "has format {}, this version reads up to {FORMAT}",
                card.format
            ),
        ));
    }
    Ok(card)
}

/// Reads a model for evaluation on `device` (which is without autodiff).
///
/// # Errors
/// [`Error::Io`]; [`Error::Damaged`] if the file is not a model, names a plugin that is not linked in, or lacks tensors.
pub fn load_model(path: &Path, device: &Device) -> Result<(BoxModel, ModelCard)> {
    // The card first: what is no model is told by the start of the file.
    let card = read_card(path)?;
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    build(bytes, card, path, device)
}

/// As [`load_model`] from a file's bytes; `name` is what errors call them.
///
/// # Errors
/// As [`load_model`], but for [`Error::Io`].
pub fn parse_model(bytes: &[u8], name: &Path, device: &Device) -> Result<(BoxModel, ModelCard)> {
    let (first, rest) = bytes.split_first_chunk().ok_or_else(|| too_short(name))?;
    let length = header_length(*first, bytes.len() as u64, name)?;
    let card = card_of(&rest[..length], name)?;
    build(bytes.to_vec(), card, name, device)
}

/// The model of a card with the weights of a file.
fn build(
    bytes: Vec<u8>,
    card: ModelCard,
    path: &Path,
    device: &Device,
) -> Result<(BoxModel, ModelCard)> {
    let config: Box<dyn ModelConfig> = serde_json::from_value(card.model.clone())
        .map_err(|error| Error::damaged(path, format!("its model cannot be built: {error}")))?;
    let spec = ModelSpec {
        image: card.image,
        classes: card.class_names.len(),
    };
    // All that is drawn is read from the file: a card that asks for more than that is not the file's.
    let mut init = Initializer::new(card.seed, device).with_most(bytes.len() / SHORTEST_VALUE);
    let mut model = config.build(&spec, &mut init)?;
    let mut store = SafetensorsStore::from_bytes(Some(bytes))
        .with_from_adapter(FloatCastAdapter::to(computed()));
    let applied = model
        .load_from(&mut store)
        .map_err(|error| Error::damaged(path, error))?;
    if !applied.missing.is_empty() || !applied.unused.is_empty() || !applied.errors.is_empty() {
        return Err(Error::damaged(
            path,
            format!(
                "does not fit its own card: missing {:?}, unused {:?}, errors {:?}",
                applied.missing, applied.unused, applied.errors
            ),
        ));
    }
    Ok((model.valid(), card))
}
