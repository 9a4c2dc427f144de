//! Where the files of a data set are looked for.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{DataError, PublishedSet};

/// Folder names under which the known sets lie; a folder called so is never taken for another set's.
const FOLDERS_BY_SET: &[(&str, &[&str])] = &[
    ("mnist", &["mnist", "MNIST/raw", "MNIST"]),
    (
        "fashion-mnist",
        &["fashion-mnist", "FashionMNIST/raw", "FashionMNIST"],
    ),
    ("cifar-10", &["cifar-10-batches-bin", "cifar-10"]),
    ("svhn", &["svhn", "SVHN"]),
    ("quickdraw", &["quickdraw", "quick_draw", "QuickDraw"]),
    ("celeba", &["celeba", "CelebA"]),
];

/// Two names closer than this (Jaro-Winkler, 1 = equal) are called similar.
const SIMILAR: f64 = 0.85;

/// Where to look for data sets.
///
/// A config's own `path` is the only place looked at where it is given. Else, first to last: the set's folder in
/// `data_dir`; `data_dir` itself; the same two of the environment variable `PROTOVAE_DATA`; the set's folder in
/// `$HOME/.cache/protovae/data`; for Fashion-MNIST also `/usr/share/datasets/fashion-mnist`. The first folder that holds all
/// files of the set is used.
#[derive(Debug, Clone, Default)]
pub struct DataSearch {
    /// The folder of data sets that the user named (`--data-dir`).
    pub data_dir: Option<PathBuf>,
}

impl DataSearch {
    /// Looks in `data_dir` first.
    #[must_use]
    pub fn in_folder(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: Some(data_dir.into()),
        }
    }

    /// Where a fetched set belongs so that it is found again: the folder `set` in `data_dir`, or else in that of
    /// `PROTOVAE_DATA`, or else in `$HOME/.cache/protovae/data`; none where there is no home folder either.
    ///
    /// ```
    /// let search = protovae_data::DataSearch::in_folder("data");
    /// assert_eq!(search.destination("mnist"), Some("data/mnist".into()));
    /// ```
    #[must_use]
    pub fn destination(&self, set: &str) -> Option<PathBuf> {
        let named = |root: &PathBuf| !root.as_os_str().is_empty();
        self.data_dir
            .clone()
            .filter(named)
            .or_else(|| {
                env::var_os("PROTOVAE_DATA")
                    .map(PathBuf::from)
                    .filter(named)
            })
            .or_else(|| env::home_dir().map(|home| home.join(".cache/protovae/data")))
            .map(|root| root.join(set))
    }

    /// The folder in which the set's own config, without a `path`, finds all its files; none if it finds no such folder.
    /// The files themselves are not looked into.
    ///
    /// ```
    /// let nowhere = protovae_data::DataSearch::in_folder("no such folder");
    /// let celeba = protovae_data::published("celeba")?;
    /// assert_eq!(nowhere.locate(celeba).filter(|folder| folder.starts_with("no such folder")), None);
    /// # Ok::<(), protovae_data::DataError>(())
    /// ```
    #[must_use]
    pub fn locate(&self, set: &PublishedSet) -> Option<PathBuf> {
        let published = set.files.iter().map(|file| vec![file.name.to_string()]);
        let unpacked = set.unpacked.iter().map(|names| {
            let names = names.iter().map(|name| (*name).to_string());
            names.collect()
        });
        let ways: [Vec<Vec<String>>; 2] = [published.collect(), unpacked.collect()];
        let folders = self.folders(set.name, None);
        let whole = |folder: &PathBuf| {
            ways.iter().any(|wanted| {
                let there =
                    |names: &Vec<String>| names.iter().any(|name| folder.join(name).is_file());
                !wanted.is_empty() && wanted.iter().all(there)
            })
        };
        folders.into_iter().find(whole)
    }

    /// The folders looked through for `set`, first to last.
    pub(crate) fn folders(&self, set: &str, path: Option<&Path>) -> Vec<PathBuf> {
        let roots = [
            self.data_dir.clone(),
            env::var_os("PROTOVAE_DATA").map(PathBuf::from),
        ];
        let cache = env::home_dir().map(|home| home.join(".cache/protovae/data"));
        folders(set, path, &roots, cache.as_deref())
    }
}

fn folders(
    set: &str,
    path: Option<&Path>,
    roots: &[Option<PathBuf>],
    cache: Option<&Path>,
) -> Vec<PathBuf> {
    let names = folder_names(set);
    let mut found: Vec<PathBuf> = Vec::new();
    if let Some(path) = path {
        found.push(path.to_path_buf());
        found.extend(names.iter().map(|name| path.join(name)));
        return found;
    }
    for root in roots.iter().flatten() {
        // An empty variable would mean the current folder, which nobody asked for.
        if root.as_os_str().is_empty() {
            continue;
        }
        found.extend(names.iter().map(|name| root.join(name)));
        if !belongs_to_another(set, root) {
            found.push(root.clone());
        }
    }
    if let Some(cache) = cache {
        found.extend(names.iter().map(|name| cache.join(name)));
    }
    if set == "fashion-mnist" {
        found.push(PathBuf::from("/usr/share/datasets/fashion-mnist"));
    }
    found
}

fn folder_names(set: &str) -> Vec<&str> {
    FOLDERS_BY_SET
        .iter()
        .find(|(name, _)| *name == set)
        .map_or_else(|| vec![set], |(_, folders)| folders.to_vec())
}

/// MNIST and Fashion-MNIST have the same file names, so the folder's name is all that tells them apart.
fn belongs_to_another(set: &str, folder: &Path) -> bool {
    FOLDERS_BY_SET
        .iter()
        .any(|(other, names)| *other != set && names.iter().any(|name| folder.ends_with(name)))
}

/// The first folder that holds every wanted file, with the files' paths in the order wanted.
///
/// `wanted` lists for each file its accepted spellings.
pub(crate) fn find(
    set: &str,
    folders: &[PathBuf],
    wanted: &[Vec<String>],
) -> Result<(PathBuf, Vec<PathBuf>), DataError> {
    let mut best: Option<(usize, Vec<Vec<String>>)> = None;
    for folder in folders {
        let mut paths = Vec::new();
        let mut missing = Vec::new();
        for names in wanted {
            match names
                .iter()
                .map(|name| folder.join(name))
                .find(|path| path.is_file())
            {
                Some(path) => paths.push(path),
                None => missing.push(names.clone()),
            }
        }
        if missing.is_empty() {
            return Ok((folder.clone(), paths));
        }
        if best.as_ref().is_none_or(|(count, _)| paths.len() > *count) {
            best = Some((paths.len(), missing));
        }
    }
    let missing = best.map_or_else(|| wanted.to_vec(), |(_, missing)| missing);
    Err(DataError::NotFound {
        set: set.to_string(),
        near: similar_file(folders, wanted, &missing),
        missing,
        folders: folders.to_vec(),
    })
}

/// The file whose name is nearest to a missing one, if any is near.
fn similar_file(
    folders: &[PathBuf],
    wanted: &[Vec<String>],
    missing: &[Vec<String>],
) -> Option<PathBuf> {
    let mut nearest: Option<(f64, PathBuf)> = None;
    for folder in folders {
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // The other files of the set resemble each other; they are where they belong.
            if wanted.iter().flatten().any(|wanted| *wanted == name) {
                continue;
            }
            for spelling in missing.iter().flatten() {
                let score = strsim::jaro_winkler(&name.to_lowercase(), &spelling.to_lowercase());
                if score >= SIMILAR && nearest.as_ref().is_none_or(|(best, _)| score > *best) {
                    nearest = Some((score, entry.path()));
                }
            }
        }
    }
    nearest.map(|(_, path)| path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn strings(folders: &[PathBuf]) -> Vec<String> {
        folders
            .iter()
            .map(|folder| folder.to_string_lossy().replace('\\', "/"))
            .collect()
    }

    #[test]
    fn the_order_of_folders() {
        let roots = [Some(PathBuf::from("/a")), Some(PathBuf::from("/b"))];
        let found = folders("cifar-10", None, &roots, Some(Path::new("/c")));
        assert_eq!(
            strings(&found),
            [
                "/a/cifar-10-batches-bin",
                "/a/cifar-10",
                "/a",
                "/b/cifar-10-batches-bin",
                "/b/cifar-10",
                "/b",
                "/c/cifar-10-batches-bin",
                "/c/cifar-10"
            ]
        );
    }

    #[test]
    fn an_explicit_path_is_the_only_place() {
        let roots = [Some(PathBuf::from("/a")), None];
        let found = folders("fashion-mnist", Some(Path::new("/p")), &roots, None);
        assert!(
            strings(&found)
                .iter()
                .all(|folder| folder.starts_with("/p"))
        );
    }

    #[test]
    fn another_sets_folder_is_not_taken_for_ours() {
        let roots = [Some(PathBuf::from("/data/fashion-mnist"))];
        let found = strings(&folders("mnist", None, &roots, None));
        assert!(
            !found.contains(&"/data/fashion-mnist".to_string()),
            "{found:?}"
        );
        let found = strings(&folders("fashion-mnist", None, &roots, None));
        assert!(
            found.contains(&"/data/fashion-mnist".to_string()),
            "{found:?}"
        );
    }

    #[test]
    fn an_empty_variable_is_no_folder() {
        assert!(folders("mnist", None, &[Some(PathBuf::new())], None).is_empty());
    }

    #[test]
    fn a_file_of_a_similar_name_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("train_images-idx3-ubyte.gz"), b"").unwrap();
        fs::write(folder.path().join("train-labels-idx1-ubyte"), b"").unwrap();
        let wanted = vec![
            vec!["train-images-idx3-ubyte.gz".to_string()],
            vec!["train-labels-idx1-ubyte".to_string()],
        ];
        let error = find("mnist", &[folder.path().to_path_buf()], &wanted).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("similar name"), "{message}");
        assert!(message.contains("train_images-idx3-ubyte.gz"), "{message}");
        assert!(!message.contains("missing: train-labels"), "{message}");
    }
}
