//! Runs in a folder that all items share.
//!
//! Each run has a folder of its own, named after what it is and a digest of everything asked of it, and a ticket in another folder that
//! says so and, once it is done, which model it made. A run that is there and verified is skipped, one that is half done is
//! gone on with, and a lock keeps two processes from the same run.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use protovae_core::train::{EpochRecord, MetricsLine, RunDirectory, newest_checkpoint};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::plan::Task;
use crate::args::{ConfigSource, DeviceArgs, DevicesArgs, TrainArgs};
use crate::commands::train;
use crate::error::{CliError, Result};
use crate::output::Voice;
use crate::{config, files, machine};

/// Steps between checkpoints: what a kill may cost.
const CHECKPOINT_EVERY: usize = 200;

/// The folder of runs, and how they are made.
#[derive(Debug)]
pub struct Pool {
    /// The folder of everything.
    pub root: PathBuf,
    /// Folder with the data sets, if one was named.
    pub data_dir: Option<PathBuf>,
    /// Where to compute.
    pub device: DeviceArgs,
}

/// What is known of a run besides its folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ticket {
    version: String,
    /// The configuration that was asked for, before defaults of data and model are filled in.
    asked: serde_json::Value,
    /// SHA-256 of the model, once it is done.
    model: Option<String>,
    /// SHA-256 of the program that made it; not known of runs that were made before tickets had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    /// The machine that it is made on: processor, threads, device; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
}

/// A finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finished {
    /// The seed.
    pub seed: u64,
    /// Its folder, within that of the runs.
    pub run: String,
    /// The data set's name, as the model's card has it.
    pub data: String,
    /// What it is reported as, such as the convention of the losses.
    pub reported_as: String,
    /// Epochs trained.
    pub epochs: usize,
    /// Test accuracy after the last, a share.
    pub accuracy: f64,
    /// Seconds of training, evaluation and what is between.
    pub seconds: f64,
    /// SHA-256 of `model.safetensors`.
    pub model: String,
    /// SHA-256 of the program that made it, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The machine that it was made on, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Test accuracy after each epoch, a share; empty where it is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_epoch: Vec<f64>,
}

impl Finished {
    /// Whether its accuracies are what accuracies can be.
    pub fn is_plausible(&self) -> bool {
        let mut all = self.by_epoch.iter().chain([&self.accuracy]);
        all.all(|accuracy| (0.0..=1.0).contains(accuracy))
    }
}

#[cfg(test)]
impl Finished {
    /// A run on ten epochs of a data set, for tests.
    pub fn example(seed: u64, data: &str, accuracy: f64) -> Self {
        Self {
            seed,
            run: format!("{data}-{seed}"),
            data: data.to_string(),
            reported_as: "sampled-mean".to_string(),
            epochs: 10,
            accuracy,
            seconds: 100.0,
            model: "00".to_string(),
            program: None,
            machine: None,
            by_epoch: Vec::new(),
        }
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl Pool {
    /// This machine as results name it: processor, threads, device.
    pub fn machine(&self) -> String {
        format!(
            "{}, {} threads, device {}",
            machine::processor(),
            rayon::current_num_threads(),
            self.device.device
        )
    }

    fn source(&self, task: &Task) -> ConfigSource {
        let mut set = task.wanted.set.clone();
        set.push(format!("training.checkpoint_every={CHECKPOINT_EVERY}"));
        ConfigSource {
            preset: Some(task.wanted.preset.clone()),
            config: None,
            set,
            seed: Some(task.seed),
            epochs: Some(task.wanted.epochs),
            data_dir: self.data_dir.clone(),
        }
    }

    /// The configuration that is asked for, without where the data lie; runs on a stand-in are not those on the set itself.
    fn asked(&self, task: &Task) -> Result<serde_json::Value> {
        let mut asked = config::load(&self.source(task))?.config.to_json()?;
        if let Some(asked) = asked.as_object_mut() {
            asked.remove("data_dir");
            if let Some(name) = &task.wanted.stand_in {
                asked.insert("stand_in".to_string(), name.as_str().into());
            }
        }
        Ok(asked)
    }

    /// The folder of a run.
    pub fn path(&self, task: &Task) -> Result<PathBuf> {
        let asked = self.asked(task)?.to_string();
        let name = format!(
            "{}-{}-epochs-seed{}-{}",
            task.wanted.preset,
            task.wanted.epochs,
            task.seed,
            &digest(asked.as_bytes())[..8]
        );
        Ok(self.root.join("runs").join(name))
    }

    /// The folder of a run that is done; not there if another machine made it.
    pub fn folder(&self, run: &Finished) -> PathBuf {
        self.root.join("runs").join(&run.run)
    }

    /// The file that belongs to a run; apart from the runs, so that `runs/*` names runs alone.
    fn beside(&self, path: &Path, extension: &str) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(extension);
        self.root.join("tickets").join(name)
    }

    fn ticket(&self, path: &Path) -> Result<Option<Ticket>> {
        let place = self.beside(path, ".json");
        match fs::read(&place) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CliError::Read {
                path: place,
                source,
            }),
        }
    }

    fn write_ticket(&self, path: &Path, ticket: &Ticket) -> Result<()> {
        files::write_json(&self.beside(path, ".json"), ticket)
    }

    /// The run of a task, if it is done and is what was made then.
    pub fn finished(&self, task: &Task) -> Result<Option<Finished>> {
        let path = self.path(task)?;
        let Some(ticket) = self.ticket(&path)? else {
            return Ok(None);
        };
        let Some(expected) = ticket.model else {
            return Ok(None);
        };
        let Ok(bytes) = fs::read(path.join("model.safetensors")) else {
            return Ok(None);
        };
        if digest(&bytes) != expected || ticket.asked != self.asked(task)? {
            return Ok(None);
        }
        let directory = RunDirectory::open(&path)?;
        let epochs: Vec<EpochRecord> = directory
            .read_metrics()?
            .into_iter()
            .filter_map(|line| match line {
                MetricsLine::Epoch(record) => Some(*record),
                _ => None,
            })
            .collect();
        let Some(last) = epochs
            .last()
            .filter(|last| last.epoch == task.wanted.epochs)
        else {
            return Ok(None);
        };
        let card = protovae_core::train::read_card(&directory.model())?;
        let name = path.file_name().unwrap_or_default();
        Ok(Some(Finished {
            seed: task.seed,
            run: name.to_string_lossy().into_owned(),
            data: card.data,
            reported_as: card.reported_as,
            epochs: last.epoch,
            accuracy: last.test.accuracy,
            seconds: epochs
                .iter()
                .map(|epoch| {
                    epoch.timing.train_seconds
                        + epoch.timing.refining_seconds
                        + epoch.timing.test_seconds
                })
                .sum(),
            model: expected,
            program: ticket.program,
            machine: ticket.machine,
            by_epoch: epochs.iter().map(|epoch| epoch.test.accuracy).collect(),
        }))
    }

    /// Runs a task to its end, from where it was left if it was begun; gives what it made. Nothing if another process has it.
    ///
    /// # Errors
    /// Whatever training fails with.
    pub fn run(&self, task: &Task, voice: Voice) -> Result<Option<Finished>> {
        if let Some(finished) = self.finished(task)? {
            return Ok(Some(finished));
        }
        let path = self.path(task)?;
        let lock_path = self.beside(&path, ".lock");
        files::create_folder(&self.root.join("runs"))?;
        files::create_folder(&self.root.join("tickets"))?;
        let lock = File::create(&lock_path).map_err(|error| files::unwritten(&lock_path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                voice.note(format!(
                    "another process is at {}; it is left to it",
                    path.display()
                ));
                return Ok(None);
            }
            // Some shared file systems have no locks. Schedulers start a task once, and training must not depend on it.
            Err(TryLockError::Error(error)) => voice.note(format!(
                "note: {} cannot be locked ({error}); start nothing else that trains this run",
                lock_path.display()
            )),
        }
        // Another process may have ended it since it was looked at.
        if let Some(finished) = self.finished(task)? {
            return Ok(Some(finished));
        }
        let mut ticket = Ticket {
            version: env!("CARGO_PKG_VERSION").to_string(),
            asked: self.asked(task)?,
            model: None,
            program: program(),
            machine: Some(self.machine()),
        };
        // A folder without a ticket that fits is not known to be this run.
        let begun = self
            .ticket(&path)?
            .is_some_and(|old| old.asked == ticket.asked && old.version == ticket.version)
            && path.join("config.json").is_file()
            && can_go_on(&path)?;
        self.write_ticket(&path, &ticket)?;
        train::run(&self.arguments(task, &path, begun), quiet(voice))?;
        let bytes = files::read(&path.join("model.safetensors"))?;
        ticket.model = Some(digest(&bytes));
        self.write_ticket(&path, &ticket)?;
        // The lock's file stays: whoever removed it could not tell whether another process has just opened it.
        drop(lock);
        self.finished(task)
    }

    fn arguments(&self, task: &Task, path: &Path, begun: bool) -> TrainArgs {
        let source = match begun {
            true => ConfigSource {
                data_dir: self.data_dir.clone(),
                ..ConfigSource::default()
            },
            false => self.source(task),
        };
        TrainArgs {
            source,
            device: self.device,
            devices: DevicesArgs {
                devices: Vec::new(),
            },
            precision: None,
            out: (!begun).then(|| path.to_path_buf()),
            overwrite: !begun,
            resume: begun.then(|| path.to_path_buf()),
            init: None,
            sanity_check: false,
        }
    }
}

/// Whether training goes on in a run's folder: from a checkpoint, or from the beginning where there is no model yet.
fn can_go_on(path: &Path) -> Result<bool> {
    let run = RunDirectory::open(path)?;
    Ok(newest_checkpoint(&run)?.is_some() || !run.model().is_file())
}

/// SHA-256 of this program's file, read once: what a version does not tell apart, this does.
fn program() -> Option<String> {
    static DIGEST: OnceLock<Option<String>> = OnceLock::new();
    let read = || Some(digest(&fs::read(std::env::current_exe().ok()?).ok()?));
    DIGEST.get_or_init(read).clone()
}

/// Progress is shown, summaries are not.
fn quiet(voice: Voice) -> Voice {
    Voice {
        mute: true,
        ..voice
    }
}
