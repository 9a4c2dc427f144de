//! The folder of a run and what lies in it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::files::{WRITING, write_atomically};
use super::metrics::MetricsLine;
use crate::error::{Error, Result};

const CONFIG: &str = "config.json";

/// Empties a run directory, its configuration last: if the process is killed meanwhile, what is left is still a run.
fn remove_run(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path).map_err(Error::io("read", path))? {
        let entry = entry.map_err(Error::io("read", path))?.path();
        if entry.ends_with(CONFIG) {
            continue;
        }
        let removed = if entry.is_dir() {
            fs::remove_dir_all(&entry)
        } else {
            fs::remove_file(&entry)
        };
        removed.map_err(Error::io("remove", &entry))?;
    }
    let config = path.join(CONFIG);
    fs::remove_file(&config).map_err(Error::io("remove", config))
}

/// The folder of a run: `config.json`, `metrics.jsonl`, `checkpoints/`, `model.safetensors`, pictures.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Makes a new run directory. An empty folder is used as it is.
    ///
    /// With `overwrite` a folder that holds a run (it has a `config.json`) is emptied first; a folder that holds anything
    /// else is never touched.
    ///
    /// # Errors
    /// [`Error::RunExists`] if something is there; [`Error::Io`].
    pub fn create(path: impl Into<PathBuf>, overwrite: bool) -> Result<Self> {
        let path = path.into();
        Self::check_free(&path, overwrite)?;
        if path.join(CONFIG).exists() {
            remove_run(&path)?;
        }
        fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        Ok(Self { path })
    }

    /// What [`create`](Self::create) would say, without writing anything.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn check_free(path: &Path, overwrite: bool) -> Result<()> {
        let path = path.to_path_buf();
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                return Err(Error::damaged(
                    path,
                    "is a file, not a folder; choose another --out",
                ));
            }
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        // A run that was killed before it wrote its configuration leaves a half-written one and nothing else.
        let mut foreign = entries.flatten().filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            !name.starts_with(WRITING) && name != "checkpoints"
        });
        if foreign.next().is_none() {
            return Ok(());
        }
        if !path.join(CONFIG).exists() {
            return Err(Error::damaged(
                path,
                "is a folder that holds something else than a run; choose another --out",
            ));
        }
        if overwrite {
            Ok(())
        } else {
            Err(Error::RunExists { path })
        }
    }

    /// Opens the directory of an existing run.
    ///
    /// # Errors
    /// [`Error::Damaged`] if there is no `config.json`.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let run = Self { path };
        if !run.config().is_file() {
            return Err(Error::damaged(
                run.path.clone(),
                "is no run directory (it has no config.json)",
            ));
        }
        Ok(run)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resolved configuration.
    pub fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// One JSON object a line, see [`MetricsLine`].
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The trained model.
    pub fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// The folder of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Writes `config.json`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_config(&self, config: &serde_json::Value) -> Result<()> {
        let mut text = format!("{config:#}");
        text.push('\n');
        write_atomically(&self.config(), text.as_bytes())
    }

    /// The log of metrics, cut to its first `length` bytes: what was written after the checkpoint is written again.
    pub(crate) fn open_metrics(&self, length: u64) -> Result<MetricsLog> {
        let path = self.metrics();
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io("write", &path))?;
        let present = file.metadata().map_err(Error::io("read", &path))?.len();
        if present < length {
            return Err(Error::damaged(
                path,
                format!("has {present} bytes, the checkpoint remembers {length}; it was shortened"),
            ));
        }
        file.set_len(length).map_err(Error::io("write", &path))?;
        let mut log = MetricsLog { file, path, length };
        std::io::Seek::seek(&mut log.file, std::io::SeekFrom::End(0))
            .map_err(Error::io("write", &log.path))?;
        Ok(log)
    }

    /// All lines of `metrics.jsonl`.
    ///
    /// # Errors
    /// [`Error::Damaged`] naming the first line that is not a metrics line.
    pub fn read_metrics(&self) -> Result<Vec<MetricsLine>> {
        let path = self.metrics();
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        text.lines()
            .enumerate()
            .map(|(index, line)| {
                serde_json::from_str(line)
                    .map_err(|error| Error::damaged(&path, format!("line {}: {error}", index + 1)))
            })
            .collect()
    }
}

/// `metrics.jsonl` while it grows.
#[derive(Debug)]
pub(crate) struct MetricsLog {
    file: File,
    path: PathBuf,
    length: u64,
}

impl MetricsLog {
    pub(crate) fn append(&mut self, line: &MetricsLine) -> Result<()> {
        let mut text =
            serde_json::to_vec(line).map_err(|error| Error::damaged(&self.path, error))?;
        text.push(b'\n');
        self.file
            .write_all(&text)
            .map_err(Error::io("write", &self.path))?;
        self.length += text.len() as u64;
        Ok(())
    }

    /// Makes all lines durable and gives their length in bytes.
    pub(crate) fn sync(&mut self) -> Result<u64> {
        self.file
            .sync_all()
            .map_err(Error::io("write", &self.path))?;
        Ok(self.length)
    }
}
