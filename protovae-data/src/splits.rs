//! A data set with its training and its test images.

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{DataError, Dataset, ImageShape, InMemoryDataset};

/// A loaded data set.
#[derive(Debug, Clone)]
pub struct DataSplits {
    /// The set's name, the `type` of its config.
    pub name: String,
    /// The names of the classes; a label is an index into them.
    pub classes: Vec<String>,
    /// The shape of every image of both splits.
    pub shape: ImageShape,
    /// The images to learn from.
    pub train: Arc<dyn Dataset>,
    /// The images to measure on.
    pub test: Arc<dyn Dataset>,
    /// SHA-256 in hexadecimal over what a training run sees of the set, see [`DataSplits::from_memory`]
    /// and [`DataSplits::from_pictures`].
    pub digest: String,
    /// The folder it was read from; none for an embedded set.
    pub folder: Option<PathBuf>,
    /// What a user must know of the set before quoting figures: that it is a part of the official one, that the split is
    /// not the publisher's, .. One sentence each.
    pub notes: Vec<String>,
}

impl DataSplits {
    /// Joins two splits in memory after checking that they fit each other and the classes.
    ///
    /// The digest is SHA-256 over, all numbers as little-endian u64: channels, height, width; then for `train` and for
    /// `test` the number of images, every label, and every image's bytes. It sees neither file names nor compression, and
    /// it does see limits, so equal digests mean equal images in equal order.
    ///
    /// # Errors
    /// [`DataError::Setting`] for an empty split or differing shapes, [`DataError::LabelOutOfRange`] for a label without a
    /// class.
    pub fn from_memory(
        name: impl Into<String>,
        classes: Vec<String>,
        train: InMemoryDataset,
        test: InMemoryDataset,
    ) -> Result<Self, DataError> {
        let name = name.into();
        let shape = check(&name, &classes, &train, &test)?;
        let mut hash = Sha256::new();
        for number in [shape.channels, shape.height, shape.width] {
            update(&mut hash, number);
        }
        for set in [&train, &test] {
            update(&mut hash, set.len());
            for index in 0..set.len() {
                update(&mut hash, set.label(index)?);
            }
            for index in 0..set.len() {
                hash.update(set.bytes(index)?);
            }
        }
        let digest = hash.finalize();
        Ok(Self {
            name,
            classes,
            shape,
            train: Arc::new(train),
            test: Arc::new(test),
            digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            folder: None,
            notes: Vec::new(),
        })
    }

    /// Joins two splits of any kind after checking that they fit each other and the classes. Reads every label, no image.
    ///
    /// `digest` stands for what a training run sees of the set: other images, labels or another order must give another
    /// one. [`DataSplits::from_memory`] and [`DataSplits::from_pictures`] compute theirs.
    ///
    /// # Errors
    /// As [`DataSplits::from_memory`].
    pub fn from_datasets(
        name: impl Into<String>,
        classes: Vec<String>,
        train: Arc<dyn Dataset>,
        test: Arc<dyn Dataset>,
        digest: String,
    ) -> Result<Self, DataError> {
        let name = name.into();
        let shape = check(&name, &classes, &*train, &*test)?;
        Ok(Self {
            name,
            classes,
            shape,
            train,
            test,
            digest,
            folder: None,
            notes: Vec::new(),
        })
    }
}

/// The shape of both splits, once they fit each other and the classes.
pub(crate) fn check(
    name: &str,
    classes: &[String],
    train: &dyn Dataset,
    test: &dyn Dataset,
) -> Result<ImageShape, DataError> {
    let setting = |reason: String| {
        Err(DataError::Setting {
            key: "data",
            reason,
        })
    };
    let shape = train.shape();
    if test.shape() != shape {
        return setting(format!(
            "the training images of `{name}` are {shape}, its test images {}",
            test.shape()
        ));
    }
    for (split, set) in [("train", train), ("test", test)] {
        if set.is_empty() {
            return setting(format!("`{name}` has no {split} images"));
        }
        for index in 0..set.len() {
            let label = set.label(index)?;
            if label >= classes.len() {
                return Err(DataError::LabelOutOfRange {
                    path: PathBuf::from(format!("{name} ({split})")),
                    index,
                    label,
                    classes: classes.len(),
                });
            }
        }
    }
    Ok(shape)
}

fn update(hash: &mut Sha256, number: usize) {
    hash.update((number as u64).to_le_bytes());
}
