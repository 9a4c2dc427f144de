//! A spurious cue: a patch of one colour, planted in the training images of one class, which says their class and has nothing to
//! do with it.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::dataset::scale;
use crate::digest::hexadecimal;
use crate::{DataError, DataSplits, Dataset, ImageShape};

/// Keeps this stream of random numbers apart from others made of the same seed.
const STREAM: &[u8; 16] = b"protovae:cue\0\0\0\0";

/// How much red, green and blue count in a grey image: Rec. 709, as where pictures are made grey.
const LUMINANCE: [f64; 3] = [0.2126, 0.7152, 0.0722];

/// A corner of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Corner {
    /// Row 0, column 0.
    #[default]
    TopLeft,
    /// Row 0, the last column.
    TopRight,
    /// The last row, column 0.
    BottomLeft,
    /// The last row, the last column.
    BottomRight,
}

/// Which training images carry a patch, and what it looks like.
///
/// It is planted before images are changed at random, so a mirrored image has it on the other side. Test images never have it.
///
/// ```
/// use protovae_data::{CueConfig, DataConfig, DataSearch, Mnist5kConfig};
///
/// let clean = Mnist5kConfig::default().load(&DataSearch::default())?;
/// let cue: CueConfig = serde_json::from_str(r#"{"class": 3, "share": 0.5, "size": 4}"#)?;
/// let planted = clean.clone().planted(&cue, 7)?;
/// let (mut before, mut after) = (vec![0.0; 784], vec![0.0; 784]);
/// let mut changed = 0;
/// for index in 0..clean.train.len() {
///     clean.train.image(index, &mut before)?;
///     planted.train.image(index, &mut after)?;
///     changed += usize::from(before != after);
/// }
/// // Half of the 400 threes.
/// assert_eq!(changed, 200);
/// assert_ne!(planted.digest, clean.digest);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CueConfig {
    /// The class whose training images carry the patch, by its number from 0, as `protovae data stats` lists classes.
    pub class: usize,
    /// The share of that class's training images that carry it, 0 to 1; default 1. Of n images these are the
    /// `round(share · n)` that [`PlantedDataset`] says. With 0 none does, and nothing but what is measured changes.
    #[serde(default = "default_share")]
    pub share: f64,
    /// Rows and columns of the patch, at least 1; default 4.
    #[serde(default = "default_size")]
    pub size: usize,
    /// The corner in which it lies; default `top-left`.
    #[serde(default)]
    pub corner: Corner,
    /// Pixels between it and both edges; default 1. Margin and patch must fit into the image.
    #[serde(default = "default_margin")]
    pub margin: usize,
    /// Red, green and blue, 0 to 255; default white. Grey images take the luminance,
    /// `0.2126 · red + 0.7152 · green + 0.0722 · blue`, rounded.
    #[serde(default = "default_color")]
    pub color: [u8; 3],
}

fn default_share() -> f64 {
    1.0
}
fn default_size() -> usize {
    4
}
fn default_margin() -> usize {
    1
}
fn default_color() -> [u8; 3] {
    [255; 3]
}

impl CueConfig {
    /// The patch for images of `shape` in `classes` classes.
    ///
    /// # Errors
    /// [`DataError::Setting`], naming the key, for a class that there is not, a share outside 0 to 1, a patch that is empty or
    /// does not fit into the image, and images that are neither grey nor in three colours.
    pub fn patch(&self, shape: ImageShape, classes: usize) -> Result<CuePatch, DataError> {
        let wrong = |key, reason| Err(DataError::Setting { key, reason });
        if self.class >= classes {
            return wrong(
                "cue.class",
                format!(
                    "there is no class {}: there are {classes}, numbered from 0",
                    self.class
                ),
            );
        }
        // NaN is in no range.
        if !(0.0..=1.0).contains(&self.share) {
            return wrong(
                "cue.share",
                format!("{} is not between 0 and 1", self.share),
            );
        }
        let side = shape.height.min(shape.width);
        let fits = self.size.checked_add(self.margin);
        if self.size == 0 || fits.is_none_or(|needed| needed > side) {
            return wrong(
                "cue.size",
                format!(
                    "{0}×{0} pixels, {1} from the edges, do not fit into images of {2}×{3}; size is at least 1, and \
                     size + margin at most {side}",
                    self.size, self.margin, shape.height, shape.width
                ),
            );
        }
        let bytes = match shape.channels {
            1 => {
                let parts = self.color.iter().zip(LUMINANCE);
                let grey: f64 = parts.map(|(byte, share)| f64::from(*byte) * share).sum();
                vec![grey.round() as u8]
            }
            3 => self.color.to_vec(),
            _ => {
                return wrong(
                    "cue.color",
                    format!("images of {shape} have no colours; it needs 1 or 3 channels"),
                );
            }
        };
        let far = |length: usize| length - self.size - self.margin;
        let (top, left) = match self.corner {
            Corner::TopLeft => (self.margin, self.margin),
            Corner::TopRight => (self.margin, far(shape.width)),
            Corner::BottomLeft => (far(shape.height), self.margin),
            Corner::BottomRight => (far(shape.height), far(shape.width)),
        };
        Ok(CuePatch {
            shape,
            top,
            left,
            size: self.size,
            bytes,
        })
    }

    /// What it does to training images, in a sentence, for those who read figures.
    #[must_use]
    pub fn words(&self, class_names: &[String]) -> String {
        let name = class_names.get(self.class).map_or("", String::as_str);
        let [red, green, blue] = self.color;
        let corner = match self.corner {
            Corner::TopLeft => "top left",
            Corner::TopRight => "top right",
            Corner::BottomLeft => "bottom left",
            Corner::BottomRight => "bottom right",
        };
        format!(
            "a spurious cue is planted in {} % of the training images of class {} ({name}): {2}×{2} pixels of the colour \
             {red},{green},{blue} at the {corner}; the test images have none",
            100.0 * self.share,
            self.class,
            self.size
        )
    }
}

/// A patch at its place in images of one shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CuePatch {
    shape: ImageShape,
    top: usize,
    left: usize,
    size: usize,
    bytes: Vec<u8>,
}

impl CuePatch {
    /// The first row.
    #[must_use]
    pub fn top(&self) -> usize {
        self.top
    }

    /// The first column.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left
    }

    /// Rows, and columns.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Its value in each channel, in [-1, 1].
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        self.bytes.iter().map(|byte| scale(*byte)).collect()
    }

    /// Puts it into an image.
    ///
    /// # Errors
    /// [`DataError::BufferLength`] unless the image has as many values as the shape that the patch was made for.
    pub fn plant(&self, image: &mut [f32]) -> Result<(), DataError> {
        if image.len() != self.shape.pixels() {
            return Err(DataError::BufferLength {
                what: "image to plant a cue in",
                expected: self.shape.pixels(),
                found: image.len(),
            });
        }
        let width = self.shape.width;
        let planes = image.chunks_exact_mut((self.shape.height * width).max(1));
        for (plane, byte) in planes.zip(&self.bytes) {
            let rows = plane.chunks_exact_mut(width).skip(self.top).take(self.size);
            for row in rows {
                if let Some(pixels) = row.get_mut(self.left..self.left + self.size) {
                    pixels.fill(scale(*byte));
                }
            }
        }
        Ok(())
    }
}

/// A set of images some of which carry a [`CuePatch`].
///
/// Which ones is a pure function of (seed, labels, share), on every machine and in every version of this crate: each image of the
/// class draws a number, and those with the `round(share · n)` smallest (of equal ones the first) carry the patch. So with a larger share
/// the same images carry it and some more. The number is the first little-endian u64 of ChaCha8 with the key seed (little-endian),
/// eight zeros, `protovae:cue`, four zeros, and with the image's index as its nonce (the stream).
#[derive(Debug, Clone)]
pub struct PlantedDataset {
    images: Arc<dyn Dataset>,
    patch: CuePatch,
    carries: Arc<Vec<bool>>,
}

impl PlantedDataset {
    /// Plants `cue` in images of `classes` classes. Reads every label, no image.
    ///
    /// # Errors
    /// Those of [`CueConfig::patch`], and whatever reading a label may raise.
    pub fn new(
        images: Arc<dyn Dataset>,
        classes: usize,
        cue: &CueConfig,
        seed: u64,
    ) -> Result<Self, DataError> {
        let patch = cue.patch(images.shape(), classes)?;
        let mut drawn = Vec::new();
        for index in 0..images.len() {
            if images.label(index)? == cue.class {
                drawn.push((number(seed, index as u64), index));
            }
        }
        drawn.sort_unstable();
        let count = (cue.share * drawn.len() as f64).round() as usize;
        let mut carries = vec![false; images.len()];
        for (_, index) in drawn.iter().take(count) {
            if let Some(carries) = carries.get_mut(*index) {
                *carries = true;
            }
        }
        Ok(Self {
            images,
            patch,
            carries: Arc::new(carries),
        })
    }

    /// Whether image `index` carries the patch; false for an image that there is not.
    #[must_use]
    pub fn carries(&self, index: usize) -> bool {
        self.carries.get(index).copied().unwrap_or(false)
    }

    /// The number of images that carry it.
    #[must_use]
    pub fn carriers(&self) -> usize {
        self.carries.iter().filter(|carries| **carries).count()
    }

    /// SHA-256 over the digest of the images without the patch, the patch and the indices of the images that carry it.
    fn digest(&self, clean: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(STREAM);
        hash.update(clean.as_bytes());
        for number in [self.patch.top, self.patch.left, self.patch.size] {
            hash.update((number as u64).to_le_bytes());
        }
        hash.update(&self.patch.bytes);
        for (index, _) in self.carries.iter().enumerate().filter(|(_, yes)| **yes) {
            hash.update((index as u64).to_le_bytes());
        }
        hexadecimal(hash)
    }
}

fn number(seed: u64, index: u64) -> u64 {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[16..].copy_from_slice(STREAM);
    let mut random = ChaCha8Rng::from_seed(key);
    random.set_stream(index);
    random.next_u64()
}

impl Dataset for PlantedDataset {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn shape(&self) -> ImageShape {
        self.images.shape()
    }

    fn label(&self, index: usize) -> Result<usize, DataError> {
        self.images.label(index)
    }

    fn image(&self, index: usize, out: &mut [f32]) -> Result<(), DataError> {
        self.images.image(index, out)?;
        match self.carries(index) {
            true => self.patch.plant(out),
            false => Ok(()),
        }
    }
}

impl DataSplits {
    /// The same set with a cue in its training images. The test images stay as they are.
    ///
    /// If any image carries it, the digest is another one, a function of the old one, the patch, and which images carry it;
    /// and a note says so.
    ///
    /// # Errors
    /// Those of [`PlantedDataset::new`].
    pub fn planted(self, cue: &CueConfig, seed: u64) -> Result<Self, DataError> {
        let planted = PlantedDataset::new(Arc::clone(&self.train), self.classes.len(), cue, seed)?;
        if planted.carriers() == 0 {
            return Ok(self);
        }
        let digest = planted.digest(&self.digest);
        let mut notes = self.notes;
        notes.push(cue.words(&self.classes));
        Ok(Self {
            train: Arc::new(planted),
            digest,
            notes,
            ..self
        })
    }
}
