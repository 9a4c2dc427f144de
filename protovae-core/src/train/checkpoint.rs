//! Checkpoints: complete or absent, and enough to go on exactly where they were made.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::RunDirectory;
use super::files::{
    WRITING, digest, entries, remove_half_written, sync_directory, sync_file, write_atomically,
};
use super::learner::Learner;
use super::loss_scale::LossScale;
use super::metrics::Sums;
use crate::error::{Error, Result};

const STATE: &str = "state.json";
const MODEL: &str = "model.bpk";
const OPTIMIZER: &str = "optimizer.bpk";
/// All that a checkpoint consists of.
const FILES: [&str; 3] = [STATE, MODEL, OPTIMIZER];
/// How the name begins of a checkpoint that another one takes the place of; like everything half written it begins with
/// [`WRITING`].
const ASIDE: &str = ".writing-old-";
/// Digits of a checkpoint's name, at least: names sort as their steps do.
const DIGITS: usize = 9;

/// Where a run stood; everything else that a step depends on is a pure function of this and the configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainingState {
    /// Epochs completed.
    pub(crate) epoch: usize,
    /// Steps of the current epoch completed.
    pub(crate) step_in_epoch: usize,
    /// Steps since the beginning of the run.
    pub(crate) step: usize,
    /// Sums over the current epoch.
    pub(crate) sums: Sums,
    /// Bytes of `metrics.jsonl` that belong to this state.
    pub(crate) metrics_bytes: u64,
    /// The digest of the data.
    pub(crate) data_digest: String,
    /// The scale of the losses, if they are scaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) loss_scale: Option<LossScale>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile {
    version: String,
    /// SHA-256 of the other files, so that damage is found before burn reads them.
    files: BTreeMap<String, String>,
    training: TrainingState,
}

fn name(step: usize) -> String {
    format!("step-{step:0DIGITS$}")
}

/// Whether a folder is a checkpoint, complete or not, and nothing else. Other programs call folders of theirs `step-1000`.
pub(crate) fn is_ours(path: &Path) -> Result<bool> {
    let name_of = |path: &Path| Some(path.file_name()?.to_str()?.to_string());
    let numbered = |name: &str| {
        let digits = name.strip_prefix("step-").unwrap_or_default();
        digits.len() >= DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !name_of(path).is_some_and(|name| numbered(&name)) || !path.is_dir() {
        return Ok(false);
    }
    let known = |name: String| FILES.contains(&name.as_str()) || name.starts_with(WRITING);
    let all = entries(path)?;
    Ok(all.iter().all(|path| name_of(path).is_some_and(known)))
}

/// Complete checkpoints of a run, oldest first.
fn list(run: &RunDirectory) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in entries(&run.checkpoints())? {
        let named = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("step-"));
        let whole = || FILES.iter().all(|name| path.join(name).is_file());
        if named && whole() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The folder of the newest complete checkpoint of a run, if there is one.
///
/// # Errors
/// [`Error::Io`] if the run's folder of checkpoints cannot be read.
pub fn newest_checkpoint(run: &RunDirectory) -> Result<Option<PathBuf>> {
    Ok(list(run)?.pop())
}

/// Removes what a killed process left half written, and puts a checkpoint back that it had taken away for a new one.
pub(crate) fn remove_unfinished(run: &RunDirectory) -> Result<()> {
    for path in entries(&run.checkpoints())? {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.and_then(|name| name.strip_prefix(ASIDE)) else {
            continue;
        };
        let place = run.checkpoints().join(name);
        if !place.exists() && FILES.iter().all(|name| path.join(name).is_file()) {
            fs::rename(&path, &place).map_err(Error::io("write", place))?;
        }
    }
    remove_half_written(run.path())?;
    remove_half_written(&run.checkpoints())
}

/// Removes the checkpoints of a run that begins anew: they are newer than all that it will make for a while.
pub(crate) fn remove_all(run: &RunDirectory) -> Result<()> {
    for path in entries(&run.checkpoints())? {
        if is_ours(&path)? {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Moves a checkpoint aside; what is half removed must not have a checkpoint's name.
fn set_aside(path: &Path) -> Result<PathBuf> {
    let mut name = std::ffi::OsString::from(ASIDE);
    name.push(path.file_name().unwrap_or_default());
    let aside = path.with_file_name(name);
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(Error::io("remove", &aside))?;
    }
    fs::rename(path, &aside).map_err(Error::io("remove", path))?;
    Ok(aside)
}

fn remove(path: &Path) -> Result<()> {
    // The state goes first: without it nothing takes what is left for a checkpoint, and nobody puts it back.
    let state = path.join(STATE);
    match fs::remove_file(&state) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("remove", state)(error));
        }
        _ => {}
    }
    fs::remove_dir_all(path).map_err(Error::io("remove", path))
}

/// Writes a checkpoint beside its place, makes it durable, moves it there, and removes all but the newest `keep`.
pub(crate) fn save(
    run: &RunDirectory,
    state: &TrainingState,
    learner: &Learner,
    keep: usize,
) -> Result<PathBuf> {
    let place = run.checkpoints().join(name(state.step));
    let beside = run
        .checkpoints()
        .join(format!("{WRITING}{}", name(state.step)));
    if beside.exists() {
        fs::remove_dir_all(&beside).map_err(Error::io("remove", &beside))?;
    }
    fs::create_dir_all(&beside).map_err(Error::io("create", &beside))?;
    let record = |what: &Path, error: &dyn std::fmt::Display| Error::damaged(what, error);
    let model_path = beside.join(MODEL);
    // `valid` brings running statistics that lag behind up to date, also in plugins that use burn's own layers.
    learner
        .model()
        .valid()
        .save_file(&model_path)
        .map_err(|error| record(&model_path, &error))?;
    let optimizer_path = beside.join(OPTIMIZER);
    learner
        .optimizer()
        .save(&optimizer_path)
        .map_err(|error| record(&optimizer_path, &error))?;
    let mut files = BTreeMap::new();
    for name in [MODEL, OPTIMIZER] {
        let path = beside.join(name);
        sync_file(&path)?;
        files.insert(name.to_string(), digest(&path)?);
    }
    let file = StateFile {
        version: env!("CARGO_PKG_VERSION").to_string(),
        files,
        training: TrainingState {
            loss_scale: learner.loss_scale().cloned(),
            ..state.clone()
        },
    };
    let state_path = beside.join(STATE);
    let text = serde_json::to_vec_pretty(&file).map_err(|error| record(&state_path, &error))?;
    write_atomically(&state_path, &text)?;
    sync_directory(&beside)?;
    // An epoch without steps ends where the one before did. Its checkpoint is kept until the new one is there.
    let replaced = match place.exists() {
        true => Some(set_aside(&place)?),
        false => None,
    };
    fs::rename(&beside, &place).map_err(Error::io("write", &place))?;
    sync_directory(&run.checkpoints())?;
    if let Some(replaced) = replaced {
        remove(&replaced)?;
    }
    let mut others = list(run)?;
    others.retain(|path| *path != place);
    for old in &others[..(others.len() + 1).saturating_sub(keep.max(1))] {
        remove(old)?;
    }
    Ok(place)
}

/// A checkpoint of which every file is what was written there.
#[derive(Debug)]
pub(crate) struct Sound {
    pub(crate) path: PathBuf,
    pub(crate) state: TrainingState,
}

/// The newest checkpoint that a run can go on from, if it has any, and what is wrong with each newer one.
///
/// # Errors
/// [`Error::Damaged`] if there are checkpoints and all are damaged: that training begins anew is for the user to say.
pub(crate) fn newest_sound(run: &RunDirectory) -> Result<(Option<Sound>, Vec<Error>)> {
    let mut passed_over = Vec::new();
    for path in list(run)?.into_iter().rev() {
        match sound_state(run, &path) {
            Ok(state) => return Ok((Some(Sound { path, state }), passed_over)),
            Err(error @ Error::Damaged { .. }) => passed_over.push(error),
            Err(error) => return Err(error),
        }
    }
    match passed_over.into_iter().next() {
        Some(Error::Damaged { path, reason }) => {
            let advice = format!(
                "there is no older checkpoint to go on from either; remove {} to train from the beginning",
                run.checkpoints().display()
            );
            Err(Error::damaged(path, format!("{reason}; {advice}")))
        }
        Some(error) => Err(error),
        None => Ok((None, Vec::new())),
    }
}

/// The state that a checkpoint holds, if its files and the metrics up to it are as they were.
fn sound_state(run: &RunDirectory, path: &Path) -> Result<TrainingState> {
    let state_path = path.join(STATE);
    let text = fs::read(&state_path).map_err(Error::io("read", &state_path))?;
    let file: StateFile =
        serde_json::from_slice(&text).map_err(|error| Error::damaged(&state_path, error))?;
    for name in [MODEL, OPTIMIZER] {
        let part = path.join(name);
        if file.files.get(name) != Some(&digest(&part)?) {
            return Err(Error::damaged(part, "is not what was written there"));
        }
    }
    run.check_metrics(file.training.metrics_bytes)?;
    Ok(file.training)
}

/// Reads a checkpoint into a learner built from the run's configuration.
pub(crate) fn load(sound: &Sound, learner: Learner) -> Result<Learner> {
    let path = &sound.path;
    let mut learner = learner.try_map(|model, optimizer| {
        let model = model
            .try_load_file(path.join(MODEL))
            .map_err(|error| Error::damaged(path.join(MODEL), error))?;
        let optimizer = optimizer
            .load(path.join(OPTIMIZER))
            .map_err(|error| Error::damaged(path.join(OPTIMIZER), error))?;
        Ok((model, optimizer))
    })?;
    learner.set_loss_scale(sound.state.loss_scale.clone());
    Ok(learner)
}
