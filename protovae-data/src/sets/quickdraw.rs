//! QuickDraw's bitmaps.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::quickdraw_files::{ClassFile, PAPER_CLASSES, find_classes};
use super::{check_limits, shortened};
use crate::npy::NpyReader;
use crate::{DataConfig, DataError, DataSearch, DataSplits, ImageShape, InMemoryDataset};

const SHAPE: ImageShape = ImageShape::new(1, 28, 28);

const TRAIN: usize = 8000;
const TEST: usize = 2000;

/// `quickdraw`: sketches of ten classes, 8,000 for training and 2,000 for testing of each, 1×28×28.
///
/// Reads `<class>.npy`, also spelled `full_numpy_bitmap_<class>.npy`, of n × 784 bytes each. The split goes by position: of
/// each class the first `per_class_train` images are for training and the `per_class_test` that follow for testing, no
/// matter how many more the file holds. A file with fewer images than these is split in the same shares, with a note.
///
/// The classes take turns in both splits (the first image of each, then the second of each, ..), so that limits leave them
/// balanced. Other classes or numbers than the paper's make the set's name `quickdraw-10x4k` and the like (ten classes of
/// 4,000 images), with a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuickdrawConfig {
    /// The folder of the files, instead of those that [`DataSearch`] names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The classes, in the order of their labels. By default the ten of the ProtoVAE paper (ant, apple, banana, carrot,
    /// cat, cow, dog, frog, grapes, lion) where their files are all there, and else every `.npy` file of the folder by
    /// name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// Training images of each class; 8,000 by default.
    pub per_class_train: usize,
    /// Test images of each class; 2,000 by default.
    pub per_class_test: usize,
    /// Use at most the first so many training images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Use at most the first so many test images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
}

impl Default for QuickdrawConfig {
    fn default() -> Self {
        Self {
            path: None,
            classes: None,
            per_class_train: TRAIN,
            per_class_test: TEST,
            train_limit: None,
            test_limit: None,
        }
    }
}

#[typetag::serde(name = "quickdraw")]
impl DataConfig for QuickdrawConfig {
    fn load(&self, search: &DataSearch) -> Result<DataSplits, DataError> {
        check_limits(self.train_limit, self.test_limit)?;
        for (key, count) in [
            ("per_class_train", self.per_class_train),
            ("per_class_test", self.per_class_test),
        ] {
            if count == 0 {
                return Err(DataError::Setting {
                    key,
                    reason: "0 leaves no image".to_string(),
                });
            }
        }
        let folders = search.folders("quickdraw", self.path.as_deref());
        let (folder, files) = find_classes(&folders, self.classes.as_deref())?;
        let counts: Result<Vec<Counts>, DataError> =
            files.iter().map(|file| self.count(file)).collect();
        let counts = counts?;
        let train_turns = turns(self.train_limit, counts.iter().map(|count| count.train));
        let test_turns = turns(self.test_limit, counts.iter().map(|count| count.test));
        let mut train = Turns::default();
        let mut test = Turns::default();
        for (file, count) in files.iter().zip(&counts) {
            let needed = count.train.saturating_add(count.test.min(test_turns));
            let rows = NpyReader::open(&file.path)?.first_rows(needed)?;
            let (first, then) = rows.split_at(count.train.saturating_mul(SHAPE.pixels()));
            train.add(first, train_turns);
            test.add(then, test_turns);
        }
        let names: Vec<String> = files.into_iter().map(|file| file.class).collect();
        let notes = self.notes(&names, &counts);
        let used = counts.iter().map(|count| count.used()).min().unwrap_or(0);
        let name = if notes.is_empty() {
            "quickdraw".to_string()
        } else {
            format!("quickdraw-{}x{}", names.len(), shortened(used))
        };
        let mut splits = DataSplits::from_memory(
            name,
            names,
            train.finish(self.train_limit)?,
            test.finish(self.test_limit)?,
        )?;
        splits.notes = notes;
        splits.folder = Some(folder);
        Ok(splits)
    }

    fn boxed_clone(&self) -> Box<dyn DataConfig> {
        Box::new(self.clone())
    }
}

/// How many images a class has and how many of them are used.
struct Counts {
    there: usize,
    train: usize,
    test: usize,
}

impl Counts {
    fn used(&self) -> usize {
        self.train.saturating_add(self.test)
    }
}

impl QuickdrawConfig {
    /// How many images of a class are used, from its file's header.
    fn count(&self, file: &ClassFile) -> Result<Counts, DataError> {
        let reader = NpyReader::open(&file.path)?;
        let there = match reader.shape() {
            [count, 784] => *count,
            other => {
                return Err(DataError::format(
                    &file.path,
                    format!("its values are {other:?}; QuickDraw's bitmaps are [.., 784]"),
                ));
            }
        };
        if there < 2 {
            return Err(DataError::format(
                &file.path,
                format!("it holds {there} images, too few to train and test on"),
            ));
        }
        let asked = self.per_class_train.saturating_add(self.per_class_test);
        let (train, test) = if there >= asked {
            (self.per_class_train, self.per_class_test)
        } else {
            // In 128 bits, where the product of two lengths cannot overflow; the quotient is below `there`.
            let train = (there as u128 * self.per_class_train as u128 / asked as u128) as usize;
            let train = train.clamp(1, there - 1);
            (train, there - train)
        };
        Ok(Counts { there, train, test })
    }

    /// What sets these images apart from the paper's.
    fn notes(&self, names: &[String], counts: &[Counts]) -> Vec<String> {
        let mut notes = Vec::new();
        if names != PAPER_CLASSES {
            notes.push(format!(
                "The classes are {}, where the paper's are {}: figures on them are none of the paper's QuickDraw.",
                names.join(", "),
                PAPER_CLASSES.join(", ")
            ));
        }
        let range = |of: fn(&Counts) -> usize| {
            let low = counts.iter().map(of).min().unwrap_or(0);
            let high = counts.iter().map(of).max().unwrap_or(0);
            if low == high {
                low.to_string()
            } else {
                format!("{low} to {high}")
            }
        };
        let (train, test) = (range(|count| count.train), range(|count| count.test));
        let short = counts
            .iter()
            .filter(|count| count.used() < self.per_class_train.saturating_add(self.per_class_test))
            .count();
        if short > 0 {
            notes.push(format!(
                "{short} of {} files hold fewer than {} + {} images and were split in these shares, so that a class has {} \
                 images in its file, {train} for training and {test} for testing.",
                counts.len(),
                self.per_class_train,
                self.per_class_test,
                range(|count| count.there)
            ));
        } else if (self.per_class_train, self.per_class_test) != (TRAIN, TEST) {
            notes.push(format!(
                "A class has {train} images for training and {test} for testing, where the paper has {TRAIN} and {TEST}."
            ));
        }
        notes
    }
}

/// How many turns of the classes make `limit` images, where each class has so many.
fn turns(limit: Option<usize>, counts: impl Iterator<Item = usize> + Clone) -> usize {
    let Some(limit) = limit else {
        return usize::MAX;
    };
    let (mut low, mut high) = (0, limit);
    while low < high {
        let middle = low + (high - low) / 2;
        let images = counts
            .clone()
            .fold(0, |sum: usize, count| sum.saturating_add(count.min(middle)));
        if images >= limit {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    high
}

/// A split whose classes take turns.
#[derive(Default)]
struct Turns {
    classes: Vec<Vec<u8>>,
}

impl Turns {
    /// Adds a class, of whose images the first `most` are kept.
    fn add(&mut self, rows: &[u8], most: usize) {
        let length = rows.len().min(most.saturating_mul(SHAPE.pixels()));
        self.classes
            .push(rows.get(..length).unwrap_or_default().to_vec());
    }

    fn finish(self, limit: Option<usize>) -> Result<InMemoryDataset, DataError> {
        let size = SHAPE.pixels();
        let total = self.classes.iter().map(|rows| rows.len() / size).sum();
        let count = limit.unwrap_or(total).min(total);
        let turns = self.classes.iter().map(|rows| rows.len() / size).max();
        let mut pixels = Vec::with_capacity(count.saturating_mul(size));
        let mut labels = Vec::with_capacity(count);
        for turn in 0..turns.unwrap_or(0) {
            for (class, rows) in self.classes.iter().enumerate() {
                let start = turn.saturating_mul(size);
                if let Some(row) = rows.get(start..start.saturating_add(size))
                    && labels.len() < count
                {
                    pixels.extend_from_slice(row);
                    // `find_classes` gives no more classes than labels can number.
                    labels.push(class as u16);
                }
            }
        }
        InMemoryDataset::new(SHAPE, pixels, labels)
    }
}
