//! A folder of folders, one a class, with pictures in them.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::DataError;

/// The extensions of pictures, in any case of letters. What a file really is shows in its content.
pub(crate) const EXTENSIONS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];

/// A class and its pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClassFolder {
    pub(crate) name: String,
    /// The files relative to the folder of classes, with `/` between folders, sorted; at least one.
    pub(crate) files: Vec<String>,
}

/// The classes of a folder, sorted by name.
#[derive(Debug)]
pub(crate) struct ClassFolders {
    pub(crate) root: PathBuf,
    pub(crate) classes: Vec<ClassFolder>,
    /// The number of files that are no pictures by their extension or belong to no class.
    pub(crate) ignored: usize,
}

impl ClassFolders {
    /// Lists the pictures of every class, in folders of folders too. Names that begin with a dot are passed over; symbolic
    /// links are followed, each folder once.
    ///
    /// # Errors
    /// [`DataError::Read`]; [`DataError::Format`] for fewer than two classes, a class without pictures and a name that is
    /// not Unicode.
    pub(crate) fn read(root: &Path) -> Result<Self, DataError> {
        let Entries { folders, files } = entries(root)?;
        let mut ignored = files.len();
        if folders.len() < 2 {
            return Err(DataError::format(
                root,
                format!(
                    "as a folder of pictures: it has {} folder(s), but each of at least two classes needs one, with its pictures in it",
                    folders.len()
                ),
            ));
        }
        let mut classes = Vec::new();
        for name in folders {
            let files = pictures(root, &name, &mut ignored)?;
            if files.is_empty() {
                return Err(DataError::format(
                    root.join(&name),
                    format!(
                        "as the folder of a class: it has no picture (.{}); remove it or put some in",
                        EXTENSIONS.join(", .")
                    ),
                ));
            }
            classes.push(ClassFolder { name, files });
        }
        Ok(Self {
            root: root.to_path_buf(),
            classes,
            ignored,
        })
    }
}

/// What a folder holds directly: names sorted, those with a leading dot left out, links followed.
pub(crate) struct Entries {
    pub(crate) folders: Vec<String>,
    /// Whatever is no folder.
    pub(crate) files: Vec<String>,
}

pub(crate) fn entries(folder: &Path) -> Result<Entries, DataError> {
    let read = |source| DataError::read(folder, source);
    let mut found = Entries {
        folders: Vec::new(),
        files: Vec::new(),
    };
    for entry in fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        let Some(name) = name.to_str() else {
            return Err(DataError::format(
                path,
                "its name is not Unicode; rename it",
            ));
        };
        let kind = entry.file_type().map_err(read)?;
        // A link that leads nowhere counts as a file, and is missed where it is a picture by its name.
        if kind.is_dir() || (kind.is_symlink() && path.is_dir()) {
            found.folders.push(name.to_string());
        } else {
            found.files.push(name.to_string());
        }
    }
    found.folders.sort_unstable();
    found.files.sort_unstable();
    Ok(found)
}

/// The pictures of one class, relative to `root`, sorted.
fn pictures(root: &Path, class: &str, ignored: &mut usize) -> Result<Vec<String>, DataError> {
    let mut files = Vec::new();
    // A link to a folder above would lead round in circles, and two links to one folder would show it twice.
    let mut seen = HashSet::new();
    let mut open = vec![class.to_string()];
    while let Some(folder) = open.pop() {
        let path = root.join(&folder);
        let real = fs::canonicalize(&path).map_err(|source| DataError::read(&path, source))?;
        if !seen.insert(real) {
            continue;
        }
        let entries = entries(&path)?;
        for name in entries.files {
            let file = format!("{folder}/{name}");
            if is_picture(&root.join(&file))? {
                files.push(file);
            } else {
                *ignored += 1;
            }
        }
        // The last is taken first, so that of two ways to a folder the first by name is kept.
        open.extend(
            entries
                .folders
                .iter()
                .rev()
                .map(|name| format!("{folder}/{name}")),
        );
    }
    files.sort_unstable();
    Ok(files)
}

/// Whether a file is a picture by its extension, and a regular file.
fn is_picture(path: &Path) -> Result<bool, DataError> {
    let known = path
        .extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| EXTENSIONS.contains(&extension.to_lowercase().as_str()));
    if !known {
        return Ok(false);
    }
    // Opening a pipe would wait for its other end.
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_file()),
        Err(source) => Err(DataError::read(path, source)),
    }
}
