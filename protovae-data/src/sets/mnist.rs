//! MNIST and Fashion-MNIST: four IDX files under the same names.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{check_limits, named, owned};
use crate::{DataConfig, DataError, DataSearch, DataSplits, Dataset, InMemoryDataset, idx, search};

/// The names of MNIST's classes.
pub(crate) const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// The names that Fashion-MNIST's publisher gives its classes.
pub(crate) const CLOTHES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// `mnist`: handwritten digits, 60,000 for training and 10,000 for testing, 1×28×28.
///
/// Reads `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the two of `t10k`, gzipped or not, also spelled
/// `train-images.idx3-ubyte`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MnistConfig {
    /// The folder of the files, instead of those that [`DataSearch`] names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Use at most the first so many training images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Use at most the first so many test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
}

#[typetag::serde(name = "mnist")]
impl DataConfig for MnistConfig {
    fn load(&self, search: &DataSearch) -> Result<DataSplits, DataError> {
        let limits = [self.train_limit, self.test_limit];
        load(
            ["mnist", "MNIST"],
            &DIGITS,
            self.path.as_deref(),
            limits,
            search,
        )
    }

    fn boxed_clone(&self) -> Box<dyn DataConfig> {
        Box::new(self.clone())
    }
}

/// `fashion-mnist`: pictures of clothes in MNIST's format, 60,000 for training and 10,000 for testing, 1×28×28.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FashionMnistConfig {
    /// The folder of the files, instead of those that [`DataSearch`] names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Use at most the first so many training images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Use at most the first so many test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
}

#[typetag::serde(name = "fashion-mnist")]
impl DataConfig for FashionMnistConfig {
    fn load(&self, search: &DataSearch) -> Result<DataSplits, DataError> {
        let limits = [self.train_limit, self.test_limit];
        load(
            ["fashion-mnist", "Fashion-MNIST"],
            &CLOTHES,
            self.path.as_deref(),
            limits,
            search,
        )
    }

    fn boxed_clone(&self) -> Box<dyn DataConfig> {
        Box::new(self.clone())
    }
}

/// Training and test images of either set.
const OFFICIAL: [usize; 2] = [60_000, 10_000];

fn load(
    [set, title]: [&str; 2],
    classes: &[&str],
    path: Option<&Path>,
    [train_limit, test_limit]: [Option<usize>; 2],
    search: &DataSearch,
) -> Result<DataSplits, DataError> {
    check_limits(train_limit, test_limit)?;
    let wanted = [
        spellings("train-images", "idx3"),
        spellings("train-labels", "idx1"),
        spellings("t10k-images", "idx3"),
        spellings("t10k-labels", "idx1"),
    ];
    let (folder, files) = search::find(set, &search.folders(set, path), &wanted)?;
    // And how many there are before the limit.
    let split =
        |images: &Path, labels: &Path, limit| -> Result<(InMemoryDataset, usize), DataError> {
            // Labels first: a wrong one is found before 47 MB of images are unpacked.
            let found = idx::read_labels(labels, classes.len())?;
            let count = found.len();
            let images = (idx::read_images(images)?, images);
            Ok((idx::join(images, (found, labels), limit)?, count))
        };
    // `find` returns a path for each wanted file.
    let [train_images, train_labels, test_images, test_labels] = files.as_slice() else {
        return Err(DataError::format(folder, "not all four files were found"));
    };
    let (train, of_train) = split(train_images, train_labels, train_limit)?;
    let (test, of_test) = split(test_images, test_labels, test_limit)?;
    if train.shape() != test.shape() {
        return Err(DataError::format(
            test_images,
            format!(
                "its images are {} but the training images {}",
                test.shape(),
                train.shape()
            ),
        ));
    }
    let (name, note) = named(set, title, [of_train, of_test], OFFICIAL);
    let mut splits = DataSplits::from_memory(name, owned(classes), train, test)?;
    splits.notes.extend(note);
    splits.folder = Some(folder);
    Ok(splits)
}

fn spellings(stem: &str, kind: &str) -> Vec<String> {
    vec![
        format!("{stem}-{kind}-ubyte.gz"),
        format!("{stem}-{kind}-ubyte"),
        format!("{stem}.{kind}-ubyte"),
        format!("{stem}.{kind}-ubyte.gz"),
    ]
}
