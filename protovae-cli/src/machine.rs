//! What libraries and graphics cards the machine has, from the files that say so; nothing is loaded or started.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// NVIDIA's driver, as far as it is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NvidiaDriver {
    /// The version of the kernel module.
    pub version: Option<String>,
    /// The library `libcuda.so.1`, without which no program computes on the cards.
    pub library: Option<PathBuf>,
    /// The models of the cards.
    pub cards: Vec<String>,
}

impl NvidiaDriver {
    /// Looks for it. Knows Linux alone; elsewhere nothing is found.
    pub fn find() -> Self {
        Self::of(Path::new("/proc/driver/nvidia"), &library_folders())
    }

    fn of(driver: &Path, folders: &[PathBuf]) -> Self {
        let version = fs::read_to_string(driver.join("version")).ok();
        let version = version.and_then(|text| {
            // "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.10  Thu Jan ...": the first word that is dotted digits.
            let numeric = |word: &&str| {
                word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.')
            };
            text.split_whitespace().find(numeric).map(str::to_string)
        });
        let cards = fs::read_dir(driver.join("gpus")).into_iter().flatten();
        let mut cards: Vec<PathBuf> = cards.flatten().map(|card| card.path()).collect();
        cards.sort();
        let model = |card: &PathBuf| {
            let text = fs::read_to_string(card.join("information")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("Model:"))?;
            Some(line.trim().to_string())
        };
        Self {
            version,
            library: find_library("libcuda.so.1", folders),
            cards: cards.iter().filter_map(model).collect(),
        }
    }
}

/// The libtorch that this program has loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadedLibtorch {
    /// The library with its CPU code.
    pub library: PathBuf,
    /// Its version, where a file beside it tells.
    pub version: Option<String>,
}

impl LoadedLibtorch {
    /// Looks for it among the files that are mapped into this process. Knows Linux alone.
    pub fn find() -> Option<Self> {
        Self::of(&fs::read_to_string("/proc/self/maps").ok()?)
    }

    fn of(maps: &str) -> Option<Self> {
        let path = |line: &str| {
            line.find('/')
                .and_then(|start| line.get(start..))
                .map(PathBuf::from)
        };
        let library = maps
            .lines()
            .filter_map(path)
            .find(|path| path.ends_with("libtorch_cpu.so"))?;
        let folder = library.parent().and_then(Path::parent);
        let version = folder.and_then(libtorch_version);
        Some(Self { library, version })
    }
}

/// A distribution of libtorch says its version in `build-version`, PyTorch's package in `version.py`.
fn libtorch_version(folder: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(folder.join("build-version")) {
        return Some(text.trim().to_string());
    }
    let text = fs::read_to_string(folder.join("version.py")).ok()?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("__version__ = '"))?;
    value.split('\'').next().map(str::to_string)
}

/// Where the loader looks for libraries: what `LD_LIBRARY_PATH` names, what its cache holds, and where drivers lie.
fn library_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os("LD_LIBRARY_PATH")
        .map(|paths| std::env::split_paths(&paths).collect())
        .unwrap_or_default();
    let cache = fs::read("/etc/ld.so.cache").unwrap_or_default();
    folders.extend(cached_folders(&cache));
    let usual = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/lib/wsl/lib",
    ];
    folders.extend(usual.map(PathBuf::from));
    folders
}

/// The folders in the loader's cache, whose format is strings between others' zeros.
fn cached_folders(cache: &[u8]) -> BTreeSet<PathBuf> {
    let texts = cache
        .split(|byte| *byte == 0)
        .filter_map(|text| std::str::from_utf8(text).ok());
    let files = texts.filter(|text| text.starts_with('/'));
    files
        .filter_map(|file| Path::new(file).parent().map(Path::to_path_buf))
        .collect()
}

fn find_library(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
}

/// The processor's name, where the system says (Linux), and the vector instructions that are used of it.
pub fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|rest| rest.split_once(':'))
        .map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    format!(
        "{name} ({})",
        protovae_backbones::kernels::vector_instructions()
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_with_two_cards() {
        let root = tempfile::tempdir().unwrap();
        let driver = root.path().join("driver");
        for (card, model) in [
            ("0000:01:00.0", "NVIDIA H100 PCIe"),
            ("0000:02:00.0", "NVIDIA L4"),
        ] {
            let folder = driver.join("gpus").join(card);
            fs::create_dir_all(&folder).unwrap();
            let text = format!("Model: \t\t {model}\nIRQ:   \t\t 66\n");
            fs::write(folder.join("information"), text).unwrap();
        }
        let version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.10  Thu Jan 23 06:49:52 UTC 2025\nGCC version: 12\n";
        fs::write(driver.join("version"), version).unwrap();
        fs::write(root.path().join("libcuda.so.1"), "").unwrap();
        let found = NvidiaDriver::of(&driver, &["/nowhere".into(), root.path().into()]);
        assert_eq!(found.version.as_deref(), Some("570.86.10"));
        assert_eq!(found.library, Some(root.path().join("libcuda.so.1")));
        assert_eq!(found.cards, ["NVIDIA H100 PCIe", "NVIDIA L4"]);
    }

    #[test]
    fn no_driver() {
        let root = tempfile::tempdir().unwrap();
        let found = NvidiaDriver::of(root.path(), &[root.path().into()]);
        assert_eq!(found, NvidiaDriver::default());
    }

    #[test]
    fn the_library_that_is_mapped() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("lib")).unwrap();
        let library = root.path().join("lib/libtorch_cpu.so");
        let maps = format!(
            "7f00-7f01 r-xp 00000000 fe:00 42   /usr/lib/libc.so.6\n7f01-7f02 r--p 0 fe:00 43   {}\n7ff0-7ff1 rw-p 0 00:00 0 [stack]\n",
            library.display()
        );
        let version = || LoadedLibtorch::of(&maps).unwrap().version;
        assert_eq!(version(), None);
        fs::write(
            root.path().join("version.py"),
            "__all__ = []\n__version__ = '2.9.0+cu128'\n",
        )
        .unwrap();
        assert_eq!(version().as_deref(), Some("2.9.0+cu128"));
        fs::write(root.path().join("build-version"), "2.9.0\n").unwrap();
        assert_eq!(version().as_deref(), Some("2.9.0"));
        assert_eq!(LoadedLibtorch::of(&maps).unwrap().library, library);
        assert_eq!(
            LoadedLibtorch::of("7ff0-7ff1 rw-p 0 00:00 0 [stack]\n"),
            None
        );
    }

    #[test]
    fn folders_in_the_loaders_cache() {
        let cache = b"glibc-ld.so.cache1.1\0\x05\0libcuda.so.1\0/opt/driver/libcuda.so.1\0libm.so.6\0/lib/libm.so.6\0\xff\xfe\0";
        let folders = cached_folders(cache);
        let expected = ["/lib", "/opt/driver"].map(PathBuf::from);
        assert_eq!(folders, BTreeSet::from(expected));
    }
}
