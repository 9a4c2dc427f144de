//! CelebA: aligned faces and one of their attributes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{check_limits, partial_name};
use crate::archive::Archive;
use crate::celeba::{self, FaceAttribute, Part};
use crate::on_disk::missing;
use crate::{DataConfig, DataError, DataSearch, DataSplits, ImageShape, PictureDataset, search};

/// Where the list of attributes lies in the set's folder.
const ATTRIBUTES: [&str; 3] = [
    "list_attr_celeba.txt",
    "list_attr_celeba.csv",
    "Anno/list_attr_celeba.txt",
];

/// Where the list of splits lies, if it is there.
const PARTITIONS: [&str; 3] = [
    "list_eval_partition.txt",
    "list_eval_partition.csv",
    "Eval/list_eval_partition.txt",
];

/// Where the images lie. The folder in a folder comes first: some archives unpack so, and then the outer one has no images.
const FOLDERS: [&str; 3] = [
    "img_align_celeba/img_align_celeba",
    "img_align_celeba",
    "Img/img_align_celeba",
];

/// Where their archive lies, which is read without unpacking it.
const ARCHIVES: [&str; 2] = ["img_align_celeba.zip", "Img/img_align_celeba.zip"];

/// What the names of images begin with in the archive.
const PREFIXES: [&str; 3] = [
    "img_align_celeba/",
    "",
    "img_align_celeba/img_align_celeba/",
];

/// `celeba`: faces with and without an attribute, 162,770 for training and 19,962 for testing, 3×224×224.
///
/// Reads `list_attr_celeba.txt` and `list_eval_partition.txt` (or `.csv`), and the images from the folder
/// `img_align_celeba` or from `img_align_celeba.zip`, which need not be unpacked. The publisher's 19,867 validation images
/// are not used. Without the list of splits the last tenth of the files tests.
///
/// The published images have 178×218 pixels (width × height). They are stretched to `size` × `size` as
/// [`read_picture`](crate::read_picture) does it: by a Catmull-Rom filter, which averages where it shrinks. They stay on
/// disk and are decoded for each batch, unless `memory_limit_mib` says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CelebaConfig {
    /// The folder of the files, instead of those that [`DataSearch`] names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The attribute that makes the two classes, spelled as in the list, such as `Smiling`; default `Male`.
    pub attribute: String,
    /// Rows and columns of an image, 1 to 4096; default 224.
    pub size: usize,
    /// Use at most the first so many training images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Use at most the first so many test images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
    /// Decode all images into memory if they take at most so many MiB there: 0.144 MiB an image of 224×224, 26 GiB the
    /// whole set. Default 0: they stay on disk.
    pub memory_limit_mib: u64,
}

impl Default for CelebaConfig {
    fn default() -> Self {
        Self {
            path: None,
            attribute: "Male".to_string(),
            size: 224,
            train_limit: None,
            test_limit: None,
            memory_limit_mib: 0,
        }
    }
}

#[typetag::serde(name = "celeba")]
impl DataConfig for CelebaConfig {
    fn load(&self, search: &DataSearch) -> Result<DataSplits, DataError> {
        check_limits(self.train_limit, self.test_limit)?;
        if !(1..=4096).contains(&self.size) {
            return Err(DataError::Setting {
                key: "size",
                reason: format!("an image has 1 to 4096 rows and columns, not {}", self.size),
            });
        }
        let (folder, list, images) = find(search, self.path.as_deref())?;
        let faces = celeba::read_attributes(&list, &self.attribute)?;
        let mut notes = Vec::new();
        if faces.len() != celeba::IMAGES {
            notes.push(format!(
                "these are {} images, not the {} of CelebA: figures on them do not compare with published ones",
                faces.len(),
                celeba::IMAGES
            ));
        }
        let [train, test] = self.split(&faces, &folder, &list, &mut notes)?;
        let [train, test] = self.pictures(&faces, &images, [train, test])?;
        let name = if faces.len() == celeba::IMAGES {
            "celeba".to_string()
        } else {
            partial_name("celeba", faces.len())
        };
        let classes = if self.attribute == "Male" {
            vec!["female".to_string(), "male".to_string()]
        } else {
            vec![format!("not {}", self.attribute), self.attribute.clone()]
        };
        let mut splits =
            DataSplits::from_pictures(name, classes, train, test, self.memory_limit_mib)?;
        splits.folder = Some(folder);
        splits.notes = notes;
        Ok(splits)
    }

    fn boxed_clone(&self) -> Box<dyn DataConfig> {
        Box::new(self.clone())
    }
}

impl CelebaConfig {
    /// The indices of the training and of the test images.
    fn split(
        &self,
        faces: &FaceAttribute,
        folder: &Path,
        list: &Path,
        notes: &mut Vec<String>,
    ) -> Result<[Vec<usize>; 2], DataError> {
        let mut splits = [Vec::new(), Vec::new()];
        let file = PARTITIONS.map(|name| folder.join(name));
        if let Some(path) = file.iter().find(|path| path.is_file()) {
            let partition = celeba::read_partition(path)?;
            for (index, file) in faces.files().enumerate() {
                match partition.part(file) {
                    Some(Part::Train) => splits[0].push(index),
                    Some(Part::Test) => splits[1].push(index),
                    Some(Part::Validation) => {}
                    None => {
                        return Err(DataError::format(
                            path,
                            format!("it does not list `{file}`, which {} does", list.display()),
                        ));
                    }
                }
            }
        } else {
            let test = (faces.len() / 10).max(1);
            let train = faces.len() - test;
            splits = [(0..train).collect(), (train..faces.len()).collect()];
            notes.push(format!(
                "there is no list_eval_partition.txt: the last {test} files of the list are the test images, not those of the publisher"
            ));
        }
        for (indices, limit) in splits.iter_mut().zip([self.train_limit, self.test_limit]) {
            indices.truncate(limit.unwrap_or(usize::MAX));
        }
        Ok(splits)
    }

    /// The images of each split, after a check that all files listed are there.
    fn pictures(
        &self,
        faces: &FaceAttribute,
        images: &Images,
        splits: [Vec<usize>; 2],
    ) -> Result<[PictureDataset; 2], DataError> {
        let shape = ImageShape::new(3, self.size, self.size);
        let archive = match images {
            Images::Folder(_) => None,
            Images::Archive(path) => {
                let archive = Arc::new(Archive::open(path)?);
                let first = faces.file(0).unwrap_or_default();
                let prefix = PREFIXES
                    .into_iter()
                    .find(|prefix| archive.find(&format!("{prefix}{first}")).is_some());
                Some((archive, prefix.unwrap_or(PREFIXES[0])))
            }
        };
        let absent = match (&archive, images) {
            (Some((archive, prefix)), _) => {
                let there = |file: &str| archive.find(&format!("{prefix}{file}")).is_some();
                let mut absent = faces.files().filter(|file| !there(file));
                absent.next().map(|first| (1 + absent.count(), first))
            }
            (None, Images::Folder(path) | Images::Archive(path)) => missing(path, faces.files())?,
        };
        let (Images::Folder(path) | Images::Archive(path)) = images;
        if let Some((count, first)) = absent {
            return Err(DataError::format(
                path,
                format!(
                    "{count} of the {} files listed are missing, the first is `{first}`; fetch the images again",
                    faces.len()
                ),
            ));
        }
        let [train, test] = splits.map(|indices| {
            let files = indices
                .into_iter()
                .filter_map(|index| Some((faces.file(index)?, u16::from(faces.has(index)?))));
            match &archive {
                Some((archive, prefix)) => {
                    PictureDataset::in_archive(Arc::clone(archive), prefix, files, shape)
                }
                None => PictureDataset::in_folder(path, files, shape),
            }
        });
        Ok([train?, test?])
    }
}

enum Images {
    Folder(PathBuf),
    Archive(PathBuf),
}

/// The images in a folder of the set, unpacked ones first.
fn images_in(folder: &Path) -> Option<Images> {
    let folders = FOLDERS.iter().map(|name| folder.join(name));
    let archives = ARCHIVES.iter().map(|name| folder.join(name));
    folders
        .filter(|path| path.is_dir())
        .map(Images::Folder)
        .chain(archives.filter(|path| path.is_file()).map(Images::Archive))
        .next()
}

/// The first folder that has images and a list of attributes, with both.
fn find(search: &DataSearch, path: Option<&Path>) -> Result<(PathBuf, PathBuf, Images), DataError> {
    let folders = search.folders("celeba", path);
    let wanted = [ATTRIBUTES.map(str::to_string).to_vec()];
    let with_images: Vec<PathBuf> = folders
        .iter()
        .filter(|folder| images_in(folder).is_some())
        .cloned()
        .collect();
    let absent_images = || DataError::NotFound {
        set: "celeba".to_string(),
        missing: vec![vec![
            "img_align_celeba (a folder)".to_string(),
            ARCHIVES[0].to_string(),
        ]],
        folders: folders.clone(),
        near: None,
    };
    if with_images.is_empty() {
        search::find("celeba", &folders, &wanted)?;
        return Err(absent_images());
    }
    let (folder, files) = search::find("celeba", &with_images, &wanted)?;
    match (files.into_iter().next(), images_in(&folder)) {
        (Some(list), Some(images)) => Ok((folder, list, images)),
        _ => Err(absent_images()),
    }
}
