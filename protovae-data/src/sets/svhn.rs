//! SVHN in its cropped version.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::mnist::DIGITS;
use super::{check_limits, named, owned};
use crate::{
    DataConfig, DataError, DataSearch, DataSplits, ImageShape, InMemoryDataset, mat, search,
};

const SHAPE: ImageShape = ImageShape::new(3, 32, 32);

/// Official numbers of training and test images.
const OFFICIAL: [usize; 2] = [73_257, 26_032];

/// `svhn`: digits of house numbers, 73,257 for training and 26,032 for testing, 3×32×32.
///
/// Reads `train_32x32.mat` and `test_32x32.mat`; `extra_32x32.mat` is not used. The publisher's label 10, for the digit 0,
/// becomes class 0. Files of other counts are called `svhn-10k` and the like (10,000 images in all), with a note.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SvhnConfig {
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

#[typetag::serde(name = "svhn")]
impl DataConfig for SvhnConfig {
    fn load(&self, search: &DataSearch) -> Result<DataSplits, DataError> {
        check_limits(self.train_limit, self.test_limit)?;
        let wanted = ["train_32x32.mat", "test_32x32.mat"].map(|name| vec![name.to_string()]);
        let folders = search.folders("svhn", self.path.as_deref());
        let (folder, files) = search::find("svhn", &folders, &wanted)?;
        // `find` returns a path for each wanted file.
        let [train, test] = files.as_slice() else {
            return Err(DataError::format(folder, "not both files were found"));
        };
        let (train, of_train) = read_split(train, self.train_limit)?;
        let (test, of_test) = read_split(test, self.test_limit)?;
        let (name, note) = named("svhn", "SVHN", [of_train, of_test], OFFICIAL);
        let mut splits = DataSplits::from_memory(name, owned(&DIGITS), train, test)?;
        splits.notes.extend(note);
        splits.folder = Some(folder);
        Ok(splits)
    }

    fn boxed_clone(&self) -> Box<dyn DataConfig> {
        Box::new(self.clone())
    }
}

/// The first images of a file, as many as `limit` says, and how many it holds.
fn read_split(path: &Path, limit: Option<usize>) -> Result<(InMemoryDataset, usize), DataError> {
    let mut images = None;
    let mut labels = None;
    for array in mat::read_arrays(path, Some(&["X", "y"]))? {
        match array.name.as_str() {
            "X" => images = Some(array),
            _ => labels = Some(array),
        }
    }
    let lacks = |name: &str| {
        DataError::format(
            path,
            format!("it has no variable `{name}`; SVHN's files have `X` and `y`"),
        )
    };
    let images = images.ok_or_else(|| lacks("X"))?;
    let labels = labels.ok_or_else(|| lacks("y"))?;
    let count = match *images.dimensions.as_slice() {
        [32, 32, 3, count] => count,
        // MATLAB drops a last side of 1.
        [32, 32, 3] => 1,
        _ => {
            return Err(DataError::format(
                path,
                format!(
                    "its variable `X` is {:?}; SVHN's cropped images are [32, 32, 3, ..]",
                    images.dimensions
                ),
            ));
        }
    };
    if labels.len() != count {
        return Err(DataError::CountMismatch {
            images_path: path.to_path_buf(),
            images: count,
            labels_path: path.to_path_buf(),
            labels: labels.len(),
        });
    }
    let labels: Result<Vec<u16>, DataError> = labels
        .values()
        .enumerate()
        .map(|(index, label)| {
            if label.fract() == 0.0 && (1.0..=10.0).contains(&label) {
                Ok(label as u16 % 10)
            } else {
                Err(DataError::format(
                    path,
                    format!("label {index} is {label}; SVHN's are 1 to 10, where 10 stands for the digit 0"),
                ))
            }
        })
        .collect();
    let mut labels = labels?;
    let mut pixels = images.into_bytes(path)?;
    labels.truncate(limit.unwrap_or(usize::MAX));
    pixels.truncate(labels.len().saturating_mul(SHAPE.pixels()));
    pixels.shrink_to_fit();
    transpose(&mut pixels);
    Ok((InMemoryDataset::new(SHAPE, pixels, labels)?, count))
}

/// Turns planes that are stored column by column into ones stored row by row.
fn transpose(pixels: &mut [u8]) {
    const SIDE: usize = 32;
    for plane in pixels.chunks_exact_mut(SIDE * SIDE) {
        for row in 0..SIDE {
            for column in row + 1..SIDE {
                plane.swap(row * SIDE + column, column * SIDE + row);
            }
        }
    }
}
