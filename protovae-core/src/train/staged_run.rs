//! A run that comes to its place when it is whole.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::{WRITING, entries, remove_half_written, sync_directory};
use super::run_contents::{self, CONFIG, Found, MODEL};
use super::run_directory::RunDirectory;
use super::run_lock::RunLock;
use crate::error::{Error, Result};

/// A run that is made at one go, of what is there already: an imported model, or one without some of its prototypes.
///
/// It is written into a folder of its own within its place and moved up when all of it is there. Until then a run that it is to
/// replace stays as it is, and what fails leaves nothing.
///
/// ```
/// use protovae_core::train::StagedRun;
/// let folder = tempfile::tempdir()?;
/// let place = folder.path().join("run");
/// let config = serde_json::json!({"model": {"type": "protovae"}, "data": {"type": "mnist"}});
/// let staged = StagedRun::new(&place, false)?;
/// staged.directory().write_config(&config)?;
/// drop(staged); // Something went wrong.
/// assert!(!place.exists());
/// let staged = StagedRun::new(&place, false)?;
/// staged.directory().write_config(&config)?;
/// let run = staged.finish()?;
/// assert_eq!(run.config(), place.join("config.json"));
/// assert!(run.config().exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StagedRun {
    staged: RunDirectory,
    place: PathBuf,
    overwrite: bool,
    /// Whether the folder is here for this run alone.
    made_place: bool,
}

impl StagedRun {
    /// Begins a run that is to lie at `place`.
    ///
    /// # Errors
    /// As [`RunDirectory::create`].
    pub fn new(place: impl Into<PathBuf>, overwrite: bool) -> Result<Self> {
        let place = place.into();
        RunDirectory::check_free(&place, overwrite)?;
        let made_place = !place.exists();
        // No two of one process, nor of two.
        let staged = place.join(format!("{WRITING}run-{}", std::process::id()));
        if staged.exists() {
            fs::remove_dir_all(&staged).map_err(Error::io("remove", &staged))?;
        }
        Ok(Self {
            staged: RunDirectory::create(staged, false)?,
            place,
            overwrite,
            made_place,
        })
    }

    /// Where its files go for now.
    pub fn directory(&self) -> &RunDirectory {
        &self.staged
    }

    /// Puts it into its place, and removes the run that it replaces.
    ///
    /// # Errors
    /// As [`RunDirectory::create`], if something came there meanwhile.
    pub fn finish(self) -> Result<RunDirectory> {
        RunDirectory::check_free(&self.place, self.overwrite)?;
        if let Found::Run { .. } = run_contents::found(&self.place)? {
            let _lock = RunLock::take(&self.place)?;
            run_contents::remove(&self.place, Some(self.staged.path()))?;
        }
        // By its configuration a folder is known as a run's, and by its model as a whole one.
        let rank = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
            Some(CONFIG) => 0,
            Some(MODEL) => 2,
            _ => 1,
        };
        let mut all = entries(self.staged.path())?;
        all.sort_by_key(|path| rank(path));
        for path in all {
            let place = self.place.join(path.file_name().unwrap_or_default());
            fs::rename(&path, &place).map_err(Error::io("write", place))?;
        }
        // Whoever else was at this place comes too late, if he is there at all.
        remove_half_written(&self.place)?;
        sync_directory(&self.place)?;
        Ok(RunDirectory::at(self.place.clone()))
    }
}

impl Drop for StagedRun {
    fn drop(&mut self) {
        // Nobody could be told; what is left has a name by which the next run there takes it away.
        let _ = fs::remove_dir_all(self.staged.path());
        if self.made_place {
            // Only if nothing is in it.
            let _ = fs::remove_dir(&self.place);
        }
    }
}
