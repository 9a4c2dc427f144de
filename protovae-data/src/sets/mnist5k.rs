//! The 5,000 images of MNIST that come with this crate.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::mnist::DIGITS;
use super::{check_limits, owned};
use crate::{DataConfig, DataError, DataSearch, DataSplits, Dataset, idx};

const IMAGES: &[u8] = include_bytes!("../../assets/mnist-5k-images-idx3-ubyte.gz");
const LABELS: &[u8] = include_bytes!("../../assets/mnist-5k-labels-idx1-ubyte.gz");

/// The first so many images are for training: 400 of each digit, since the digits take turns in the files.
const TRAIN: usize = 4000;

/// `mnist-5k`: 5,000 images of MNIST inside the program, 4,000 for training and 1,000 for testing, 1×28×28.
///
/// The digits take turns, so that the first n images are balanced. All of them are among MNIST's 60,000 training images, so
/// MNIST's own test images remain unseen by a model trained on this set. Source and licence: `assets/MNIST-5K-NOTICE.md`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mnist5kConfig {
    /// Use at most the first so many training images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Use at most the first so many test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
}

#[typetag::serde(name = "mnist-5k")]
impl DataConfig for Mnist5kConfig {
    fn load(&self, _: &DataSearch) -> Result<DataSplits, DataError> {
        check_limits(self.train_limit, self.test_limit)?;
        let images_name = Path::new("embedded mnist-5k images");
        let labels_name = Path::new("embedded mnist-5k labels");
        let images = idx::parse_images(IMAGES, images_name)?;
        let labels = idx::parse_labels(LABELS, labels_name, DIGITS.len())?;
        let all = idx::join((images, images_name), (labels, labels_name), None)?;
        let train_end = self.train_limit.unwrap_or(TRAIN).min(TRAIN);
        let test_end = self.test_limit.map_or(all.len(), |limit| {
            TRAIN.saturating_add(limit).min(all.len())
        });
        let train = all.range(0..train_end)?;
        let test = all.range(TRAIN..test_end)?;
        DataSplits::from_memory("mnist-5k", owned(&DIGITS), train, test)
    }

    fn boxed_clone(&self) -> Box<dyn DataConfig> {
        Box::new(self.clone())
    }
}
