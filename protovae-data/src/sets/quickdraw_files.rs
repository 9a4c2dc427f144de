//! Which of QuickDraw's files make up a set.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{DataError, search};

/// The classes of the ProtoVAE paper.
pub(crate) const PAPER_CLASSES: [&str; 10] = [
    "ant", "apple", "banana", "carrot", "cat", "cow", "dog", "frog", "grapes", "lion",
];

/// QuickDraw has 345.
const MAX_CLASSES: usize = 1000;

/// What a browser puts before the name, since it takes the folders of the address for a part of it.
const PREFIX: &str = "full_numpy_bitmap_";

/// A class and its file.
pub(super) struct ClassFile {
    pub(super) class: String,
    pub(super) path: PathBuf,
}

/// The first folder that holds the classes asked for, with their files in the order of the labels.
///
/// Where none are asked for, a folder will do that holds the paper's, or else any two.
pub(super) fn find_classes(
    folders: &[PathBuf],
    classes: Option<&[String]>,
) -> Result<(PathBuf, Vec<ClassFile>), DataError> {
    let paper = PAPER_CLASSES.map(str::to_string);
    if let Some(classes) = classes {
        check(classes)?;
        let (folder, paths) = search::find("quickdraw", folders, &wanted(classes))?;
        return Ok((folder, pair(classes, paths)));
    }
    for folder in folders {
        let here = std::slice::from_ref(folder);
        match search::find("quickdraw", here, &wanted(&paper)) {
            Ok((folder, paths)) => return Ok((folder, pair(&paper, paths))),
            Err(DataError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let files = every_file(folder)?;
        if files.len() >= 2 {
            return Ok((folder.clone(), files));
        }
    }
    // Nothing found: this says what was looked for and where.
    let (folder, paths) = search::find("quickdraw", folders, &wanted(&paper))?;
    Ok((folder, pair(&paper, paths)))
}

fn wanted(classes: &[String]) -> Vec<Vec<String>> {
    classes
        .iter()
        .map(|class| vec![format!("{class}.npy"), format!("{PREFIX}{class}.npy")])
        .collect()
}

fn pair(classes: &[String], paths: Vec<PathBuf>) -> Vec<ClassFile> {
    classes
        .iter()
        .cloned()
        .zip(paths)
        .map(|(class, path)| ClassFile { class, path })
        .collect()
}

fn check(classes: &[String]) -> Result<(), DataError> {
    let refuse = |reason: String| DataError::Setting {
        key: "classes",
        reason,
    };
    if !(2..=MAX_CLASSES).contains(&classes.len()) {
        return Err(refuse(format!(
            "{} classes; 2 to {MAX_CLASSES} can be told apart",
            classes.len()
        )));
    }
    for (index, class) in classes.iter().enumerate() {
        if class.is_empty() || class.contains(['/', '\\', ':', '\0']) {
            return Err(refuse(format!(
                "`{class}` is the name of no class: it is a part of a file's name, such as `cat`"
            )));
        }
        if classes.iter().take(index).any(|other| other == class) {
            return Err(refuse(format!("`{class}` is listed twice")));
        }
    }
    Ok(())
}

/// The `.npy` files of a folder by class; none where there is no such folder.
fn every_file(folder: &Path) -> Result<Vec<ClassFile>, DataError> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in entries {
        let path = entry
            .map_err(|source| DataError::read(folder, source))?
            .path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(stem) = name.and_then(|name| name.strip_suffix(".npy")) else {
            continue;
        };
        if !path.is_file() || stem.starts_with('.') {
            continue;
        }
        let class = stem.strip_prefix(PREFIX).unwrap_or(stem);
        // Of two spellings the short one counts, as it does for classes asked for.
        if class == stem || !files.contains_key(class) {
            files.insert(class.to_string(), path.clone());
        }
        if files.len() > MAX_CLASSES {
            return Err(DataError::format(
                folder,
                format!(
                    "it has more than {MAX_CLASSES} `.npy` files; name the `classes` in the data config"
                ),
            ));
        }
    }
    Ok(files
        .into_iter()
        .map(|(class, path)| ClassFile { class, path })
        .collect())
}
