//! The folder of a run and what lies in it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::files::write_atomically;
use super::metrics::MetricsLine;
use super::run_contents::{self, CHECKPOINTS, CONFIG, Found, METRICS, MODEL};
use super::run_lock::RunLock;
use crate::error::{Error, Result};

/// The folder of a run: `config.json`, `metrics.jsonl`, `checkpoints/`, `model.safetensors`, pictures.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Makes a new run directory. An empty folder is used as it is.
    ///
    /// With `overwrite` a folder that holds a run is emptied first: its `config.json` is an object with `model`, and `data` or
    /// `training`. Nothing is touched in a folder of something else, nor in one where something lies that no run has.
    ///
    /// ```
    /// use protovae_core::train::RunDirectory;
    /// let folder = tempfile::tempdir()?;
    /// let place = folder.path().join("run");
    /// let run = RunDirectory::create(&place, false)?;
    /// run.write_config(&serde_json::json!({"model": {"type": "protovae"}, "data": {"type": "mnist"}}))?;
    /// assert!(RunDirectory::create(&place, false).is_err());
    /// std::fs::write(place.join("notes.txt"), "mine")?;
    /// assert!(RunDirectory::create(&place, true).is_err());
    /// std::fs::remove_file(place.join("notes.txt"))?;
    /// RunDirectory::create(&place, true)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::RunExists`] if a run is there; [`Error::Damaged`] if something else is, naming an entry that no run has;
    /// [`Error::RunBusy`] if a process trains there now; [`Error::Io`].
    pub fn create(path: impl Into<PathBuf>, overwrite: bool) -> Result<Self> {
        let path = path.into();
        Self::check_free(&path, overwrite)?;
        if let Found::Run { .. } = run_contents::found(&path)? {
            let _lock = RunLock::take(&path)?;
            run_contents::remove(&path, None)?;
        }
        fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        Ok(Self { path })
    }

    /// What [`create`](Self::create) would say, without writing anything.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn check_free(path: &Path, overwrite: bool) -> Result<()> {
        if path.exists() && !path.is_dir() {
            let reason = "is a file, not a folder; choose another --out";
            return Err(Error::damaged(path, reason));
        }
        match run_contents::found(path)? {
            Found::Free => RunLock::check_idle(path),
            Found::Run { .. } if !overwrite => Err(Error::RunExists {
                path: path.to_path_buf(),
            }),
            Found::Run { foreign: None } => RunLock::check_idle(path),
            Found::Run {
                foreign: Some(entry),
            } => Err(Error::damaged(
                entry,
                "is nothing that a run has, and replacing the run would remove it; move it away or choose another --out",
            )),
            Found::Other => Err(Error::damaged(
                path,
                "is a folder that holds something else than a run; choose another --out",
            )),
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

    /// The directory of a run that was made elsewhere and moved to `path`.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Checks that no process trains in this directory now, without writing anything.
    ///
    /// [`Trainer::fit`](super::Trainer::fit) sees to it by itself; this is for what is to be done before. Where the file system has
    /// no locks it says nothing.
    ///
    /// ```
    /// # use protovae_core::train::RunDirectory;
    /// # let folder = tempfile::tempdir()?;
    /// RunDirectory::create(folder.path(), false)?.check_idle()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::RunBusy`]; [`Error::Io`].
    pub fn check_idle(&self) -> Result<()> {
        RunLock::check_idle(&self.path)
    }

    /// Keeps other processes from training here.
    pub(crate) fn lock(&self) -> Result<RunLock> {
        RunLock::take(&self.path)
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
        self.path.join(METRICS)
    }

    /// The trained model.
    pub fn model(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    /// The folder of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
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

    /// Checks that the log of metrics has the `length` bytes that a checkpoint remembers.
    pub(crate) fn check_metrics(&self, length: u64) -> Result<()> {
        let path = self.metrics();
        let present = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        if present < length {
            return Err(Error::damaged(
                path,
                format!("has {present} bytes, the checkpoint remembers {length}; it was shortened"),
            ));
        }
        Ok(())
    }

    /// The log of metrics, cut to its first `length` bytes: what was written after the checkpoint is written again.
    pub(crate) fn open_metrics(&self, length: u64) -> Result<MetricsLog> {
        self.check_metrics(length)?;
        let path = self.metrics();
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io("write", &path))?;
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
