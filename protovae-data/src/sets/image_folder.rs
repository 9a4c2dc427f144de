//! A folder of one's own pictures, sorted into a folder for each class.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::check_limits;
use crate::class_folders::{ClassFolder, ClassFolders, EXTENSIONS, entries};
use crate::{DataConfig, DataError, DataSearch, DataSplits, ImageShape, PictureDataset};

/// Folders whose pictures test, the first of them that is there.
const TEST_FOLDERS: [&str; 4] = ["test", "val", "valid", "validation"];

/// `image-folder`: pictures of your own, in a folder for each class.
///
/// The folders' names, sorted, are the classes. PNG, JPEG, WebP and BMP files are read, told apart by their content, of any
/// size, grey or in colour; [`read_picture`](crate::read_picture) says how they are brought to `size` and `channels`. Files
/// in folders within a class folder belong to that class. Names that begin with a dot are passed over, files of other
/// extensions ignored and counted in a note. Symbolic links are followed.
///
/// Where the folder holds `train` and `test` (or `val`, `valid`, `validation`), those hold the class folders, the same ones.
/// Otherwise `test_share` of each class, rounded to whole pictures and at least one, tests: those whose SHA-256 over
/// `split_seed` (as little-endian u64) and the file's name (in UTF-8, relative to the folder of classes, with `/` between
/// folders) comes first. So which files test depends on their names and the seed alone.
///
/// Classes take turns in both splits, so that limits keep them balanced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageFolderConfig {
    /// The folder. It must be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Rows and columns that every picture is brought to, as `32` or `[rows, columns]`; default 32.
    pub size: PictureSize,
    /// 3 for colour, 1 for grey; default 3.
    pub channels: usize,
    /// The share of each class that tests, above 0 and below 1, where there is no folder of test pictures; default 0.2.
    pub test_share: f64,
    /// Which pictures test, where there is no folder of them; default 0.
    pub split_seed: u64,
    /// Use at most the first so many training images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Use at most the first so many test images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
    /// Decode all images into memory if they take at most so many MiB there, a byte a value; default 1024. Beyond it, or
    /// with 0, they stay on disk and are decoded for each batch.
    pub memory_limit_mib: u64,
}

impl Default for ImageFolderConfig {
    fn default() -> Self {
        Self {
            path: None,
            size: PictureSize::Square(32),
            channels: 3,
            test_share: 0.2,
            split_seed: 0,
            train_limit: None,
            test_limit: None,
            memory_limit_mib: 1024,
        }
    }
}

/// The size that pictures are brought to: `32` or `[48, 64]` in a config file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a size is a number of rows and columns, such as 32, or [rows, columns], such as [48, 64]"
)]
pub enum PictureSize {
    /// As many columns as rows.
    Square(usize),
    /// Rows and columns.
    RowsColumns([usize; 2]),
}

#[typetag::serde(name = "image-folder")]
impl DataConfig for ImageFolderConfig {
    fn load(&self, _: &DataSearch) -> Result<DataSplits, DataError> {
        let shape = self.check()?;
        let Some(path) = &self.path else {
            return Err(setting(
                "path",
                "name the folder that holds a folder of pictures for each class".to_string(),
            ));
        };
        let mut notes = Vec::new();
        let Layout {
            train,
            test,
            unused,
        } = Layout::of(path)?;
        let train = ClassFolders::read(&train)?;
        let mut ignored = train.ignored;
        let classes: Vec<String> = train
            .classes
            .iter()
            .map(|class| class.name.clone())
            .collect();
        if u16::try_from(classes.len()).is_err() {
            return Err(DataError::format(
                &train.root,
                format!("it has {} classes; at most 65535 are read", classes.len()),
            ));
        }
        let (train, test) = match test {
            Some(test) => {
                let test = ClassFolders::read(&test)?;
                same_classes(&train, &test)?;
                ignored += test.ignored;
                (train, test)
            }
            None => {
                let parts = self.split(train)?;
                let test: usize = parts.1.classes.iter().map(|class| class.files.len()).sum();
                notes.push(format!(
                    "the {test} test images were drawn from the same folders as the training images: a share of {} of each class, split_seed {}",
                    self.test_share, self.split_seed
                ));
                parts
            }
        };
        if !unused.is_empty() {
            notes.push(format!("these folders are not used: {}", unused.join(", ")));
        }
        if ignored > 0 {
            notes.push(format!(
                "{ignored} file(s) were left out: they are in no class folder or have another extension than .{}",
                EXTENSIONS.join(", .")
            ));
        }
        let train = in_turns(&train, self.train_limit, shape)?;
        let test = in_turns(&test, self.test_limit, shape)?;
        let mut splits =
            DataSplits::from_pictures("image-folder", classes, train, test, self.memory_limit_mib)?;
        splits.folder = Some(path.clone());
        splits.notes = notes;
        Ok(splits)
    }

    fn boxed_clone(&self) -> Box<dyn DataConfig> {
        Box::new(self.clone())
    }
}

fn setting(key: &'static str, reason: String) -> DataError {
    DataError::Setting { key, reason }
}

impl ImageFolderConfig {
    /// The shape of the images, once all values make sense.
    fn check(&self) -> Result<ImageShape, DataError> {
        check_limits(self.train_limit, self.test_limit)?;
        let [height, width] = match self.size {
            PictureSize::Square(side) => [side, side],
            PictureSize::RowsColumns(sides) => sides,
        };
        if !(1..=4096).contains(&height) || !(1..=4096).contains(&width) {
            return Err(setting(
                "size",
                format!("an image has 1 to 4096 rows and columns, not {height} and {width}"),
            ));
        }
        if !matches!(self.channels, 1 | 3) {
            return Err(setting(
                "channels",
                format!("3 for colour or 1 for grey, not {}", self.channels),
            ));
        }
        if !(self.test_share > 0.0 && self.test_share < 1.0) {
            return Err(setting(
                "test_share",
                format!("{} is not above 0 and below 1", self.test_share),
            ));
        }
        Ok(ImageShape::new(self.channels, height, width))
    }

    /// Draws the test pictures of each class.
    fn split(&self, all: ClassFolders) -> Result<(ClassFolders, ClassFolders), DataError> {
        let mut parts = (Vec::new(), Vec::new());
        for class in all.classes {
            let count = class.files.len();
            if count < 2 {
                return Err(DataError::format(
                    all.root.join(&class.name),
                    "as the folder of a class: it has one picture, but training and testing need one each",
                ));
            }
            let share = (count as f64 * self.test_share).round() as usize;
            let tests = share.clamp(1, count - 1);
            let mut keyed: Vec<([u8; 32], String)> = class
                .files
                .into_iter()
                .map(|file| (self.key(&file), file))
                .collect();
            keyed.sort_unstable();
            let mut files: Vec<String> = keyed.into_iter().map(|(_, file)| file).collect();
            let mut train = files.split_off(tests);
            files.sort_unstable();
            train.sort_unstable();
            let part = |files| ClassFolder {
                name: class.name.clone(),
                files,
            };
            parts.0.push(part(train));
            parts.1.push(part(files));
        }
        let folders = |classes| ClassFolders {
            root: all.root.clone(),
            classes,
            ignored: 0,
        };
        Ok((folders(parts.0), folders(parts.1)))
    }

    fn key(&self, file: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.split_seed.to_le_bytes());
        hash.update(file);
        hash.finalize().into()
    }
}

/// The folders of class folders.
struct Layout {
    train: PathBuf,
    test: Option<PathBuf>,
    /// Names of folders beside them.
    unused: Vec<String>,
}

impl Layout {
    fn of(path: &Path) -> Result<Self, DataError> {
        let folders = entries(path)?.folders;
        let test = TEST_FOLDERS
            .into_iter()
            .find(|name| folders.iter().any(|folder| folder == name));
        let is_split = |name: &str| -> Result<bool, DataError> {
            let inside = entries(&path.join(name))?;
            Ok(!inside.folders.is_empty())
        };
        // A class may be called `train` too, the one of the railway: then there are pictures in it and no folders.
        let train = folders.iter().any(|folder| folder == "train")
            && (test.is_some() || folders.len() == 1)
            && is_split("train")?;
        if !train {
            return Ok(Self {
                train: path.to_path_buf(),
                test: None,
                unused: Vec::new(),
            });
        }
        Ok(Self {
            train: path.join("train"),
            test: test.map(|name| path.join(name)),
            unused: folders
                .into_iter()
                .filter(|folder| folder != "train" && Some(folder.as_str()) != test)
                .collect(),
        })
    }
}

fn same_classes(train: &ClassFolders, test: &ClassFolders) -> Result<(), DataError> {
    for (here, there) in [(train, test), (test, train)] {
        for class in &here.classes {
            // Both are sorted.
            let found = there
                .classes
                .binary_search_by(|other| other.name.cmp(&class.name));
            if found.is_err() {
                return Err(DataError::format(
                    &there.root,
                    format!(
                        "as a folder of pictures: it has no folder for the class `{}`, which {} has",
                        class.name,
                        here.root.display()
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// The pictures of all classes: the first of each class, then the second of each, ..
fn in_turns(
    folders: &ClassFolders,
    limit: Option<usize>,
    shape: ImageShape,
) -> Result<PictureDataset, DataError> {
    let longest = folders.classes.iter().map(|class| class.files.len()).max();
    let turns = (0..longest.unwrap_or(0)).flat_map(|turn| {
        folders
            .classes
            .iter()
            .enumerate()
            // Fewer than 2^16 classes, as `load` checks.
            .filter_map(move |(label, class)| Some((class.files.get(turn)?.as_str(), label as u16)))
    });
    let files = turns.take(limit.unwrap_or(usize::MAX));
    PictureDataset::in_folder(&folders.root, files, shape)
}
