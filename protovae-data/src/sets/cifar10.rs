//! CIFAR-10 in its binary version.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{check_limits, named, owned};
use crate::{DataConfig, DataError, DataSearch, DataSplits, cifar, search};

const ARCHIVE: &str = "cifar-10-binary.tar.gz";

/// Training and test images.
const OFFICIAL: [usize; 2] = [50_000, 10_000];

/// `cifar-10`: photographs of ten classes, 50,000 for training and 10,000 for testing, 3×32×32.
///
/// Reads `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, and the class names from `batches.meta.txt` where
/// that lies beside them. From a folder without these files but with `cifar-10-binary.tar.gz` they are read out of that
/// archive, which is not unpacked to disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cifar10Config {
    /// The folder of the files, or the archive, instead of those that [`DataSearch`] names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Use at most the first so many training images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Use at most the first so many test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
}

impl Cifar10Config {
    fn load_archive(&self, path: &Path) -> Result<DataSplits, DataError> {
        let found = cifar::read_archive(path, self.train_limit, self.test_limit)?;
        let classes = found.classes.unwrap_or_else(|| owned(&cifar::CLASS_NAMES));
        let (name, note) = named("cifar-10", "CIFAR-10", found.counts, OFFICIAL);
        let mut splits = DataSplits::from_memory(name, classes, found.train, found.test)?;
        splits.notes.extend(note);
        splits.folder = path.parent().map(Path::to_path_buf);
        Ok(splits)
    }
}

/// How many images files hold, by their lengths, which reading them checks.
fn records(paths: &[PathBuf]) -> Result<usize, DataError> {
    let mut bytes = 0;
    for path in paths {
        let found = fs::metadata(path).map_err(|error| DataError::read(path, error))?;
        bytes += found.len();
    }
    Ok((bytes / cifar::RECORD as u64) as usize)
}

#[typetag::serde(name = "cifar-10")]
impl DataConfig for Cifar10Config {
    fn load(&self, search: &DataSearch) -> Result<DataSplits, DataError> {
        check_limits(self.train_limit, self.test_limit)?;
        if let Some(path) = self.path.as_deref().filter(|path| path.is_file()) {
            return self.load_archive(path);
        }
        let mut wanted: Vec<Vec<String>> = (1..=5)
            .map(|number| vec![format!("data_batch_{number}.bin")])
            .collect();
        wanted.push(vec!["test_batch.bin".to_string()]);
        let folders = search.folders("cifar-10", self.path.as_deref());
        // The first folder that has either counts; in one that has both, the files.
        for folder in &folders {
            let mut names = wanted.iter().flatten();
            if names.all(|name| folder.join(name).is_file()) {
                break;
            }
            let archive = folder.join(ARCHIVE);
            if archive.is_file() {
                return self.load_archive(&archive);
            }
        }
        let (folder, files) = search::find("cifar-10", &folders, &wanted)?;
        let names = folder.join("batches.meta.txt");
        let classes = if names.is_file() {
            cifar::read_class_names(&names)?
        } else {
            owned(&cifar::CLASS_NAMES)
        };
        let (train, test) = files.split_at(files.len().saturating_sub(1));
        let counts = [records(train)?, records(test)?];
        let train = cifar::read_files(train, self.train_limit)?;
        let test = cifar::read_files(test, self.test_limit)?;
        let (name, note) = named("cifar-10", "CIFAR-10", counts, OFFICIAL);
        let mut splits = DataSplits::from_memory(name, classes, train, test)?;
        splits.notes.extend(note);
        splits.folder = Some(folder);
        Ok(splits)
    }

    fn boxed_clone(&self) -> Box<dyn DataConfig> {
        Box::new(self.clone())
    }
}
