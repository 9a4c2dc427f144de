//! What lies in the folder of a run, and what does not belong to it.

use std::fs;
use std::path::{Path, PathBuf};

use super::checkpoint;
use super::files::{WRITING, entries, remove_entry};
use super::run_lock::LOCK;
use crate::error::{Error, Result};

/// The configuration, by which a folder is known to be a run's.
pub(super) const CONFIG: &str = "config.json";
pub(super) const METRICS: &str = "metrics.jsonl";
pub(super) const MODEL: &str = "model.safetensors";
pub(super) const CHECKPOINTS: &str = "checkpoints";

/// What commands write beside a run's model where nothing else was asked for.
const BESIDE_THE_MODEL: [&str; 12] = [
    "strangeness.json",
    "prototypes.png",
    "reconstructions.png",
    "concepts.png",
    "samples.png",
    "report.html",
    "model-f32.safetensors",
    "model-bf16.safetensors",
    "model-f16.safetensors",
    "model-pytorch.safetensors",
    "model-reference2022.safetensors",
    "model-torchvision.safetensors",
];

/// What is found at a path that is to become a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or what a run leaves that was killed before it wrote its configuration.
    Free,
    /// A run, and an entry that no run has if there is one.
    Run { foreign: Option<PathBuf> },
    /// A folder of something else.
    Other,
}

/// Looks at a folder, or at nothing where there is none.
pub(super) fn found(folder: &Path) -> Result<Found> {
    let mut foreign = Vec::new();
    let mut leftovers_only = true;
    for path in entries(folder)? {
        let name = name_of(&path);
        leftovers_only &= is_leftover(&path, &name)?;
        if !belongs(&path, &name)? {
            foreign.push(path);
        }
    }
    foreign.sort();
    Ok(if leftovers_only {
        Found::Free
    } else if is_configuration(&folder.join(CONFIG))? {
        let foreign = foreign.into_iter().next();
        Found::Run { foreign }
    } else {
        Found::Other
    })
}

/// Removes what belongs to a run and nothing else, its configuration last: if the process is killed meanwhile, what is left is
/// still a run. `kept` is an entry that stays.
pub(super) fn remove(folder: &Path, kept: Option<&Path>) -> Result<()> {
    for path in entries(folder)? {
        let name = name_of(&path);
        // Nor the lock: whoever empties the folder holds it.
        let stays = name == CONFIG || name == LOCK || Some(path.as_path()) == kept;
        if stays || !belongs(&path, &name)? {
            continue;
        }
        remove_entry(&path)?;
    }
    let config = folder.join(CONFIG);
    fs::remove_file(&config).map_err(Error::io("remove", config))
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Whether an entry may be there before the configuration is.
fn is_leftover(path: &Path, name: &str) -> Result<bool> {
    let passing = name.starts_with(WRITING) || name == LOCK;
    Ok(passing || name == CHECKPOINTS && holds_checkpoints_only(path)?)
}

/// Whether an entry is one that runs have.
fn belongs(path: &Path, name: &str) -> Result<bool> {
    let file = [CONFIG, METRICS, MODEL].contains(&name) || BESIDE_THE_MODEL.contains(&name);
    Ok(file && !path.is_dir() || is_leftover(path, name)?)
}

fn holds_checkpoints_only(path: &Path) -> Result<bool> {
    if !path.is_dir() {
        return Ok(false);
    }
    for path in entries(path)? {
        if !name_of(&path).starts_with(WRITING) && !checkpoint::is_ours(&path)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a file is a run's configuration: an object that has a model, and data or how it is trained on them. Many programs call
/// their settings `config.json`.
fn is_configuration(path: &Path) -> Result<bool> {
    if !path.is_file() {
        return Ok(false);
    }
    let text = fs::read(path).map_err(Error::io("read", path))?;
    let config: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let has = |key: &str| config.get(key).is_some_and(serde_json::Value::is_object);
    Ok(has("model") && (has("data") || has("training")))
}
