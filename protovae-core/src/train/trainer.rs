//! The training loop.

use std::path::PathBuf;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;

use super::checkpoint::{self, TrainingState};
use super::evaluate::evaluate;
use super::learner::Learner;
use super::metrics::{DeviceFigures, EpochRecord, MetricsLine, Sums, Timing};
use super::run_directory::MetricsLog;
use super::soundness::{broken_parameters, figures_after};
use super::{Batch, BatchSource, HostBatch, RunDirectory, TrainingConfig};
use crate::error::{Error, Result};
use crate::model::{BoxModel, EpochDone};

/// What happens while training, for progress displays.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A checkpoint newer than the one that training goes on from is damaged, so that steps since then are done again.
    PassedOver {
        /// What is wrong with it.
        damage: &'a Error,
    },
    /// Training begins or goes on.
    Started {
        /// Epochs in all.
        epochs: usize,
        /// Steps an epoch.
        steps: usize,
        /// Epochs already done.
        epoch: usize,
        /// Steps of the current epoch already done.
        step_in_epoch: usize,
        /// The checkpoint from which it goes on.
        checkpoint: Option<PathBuf>,
    },
    /// A step is done.
    Step {
        /// Epoch, from 1.
        epoch: usize,
        /// Step of the epoch, from 1.
        step_in_epoch: usize,
        /// Samples in it.
        samples: usize,
    },
    /// A metrics line was written.
    Metrics(&'a MetricsLine),
    /// The model does what it does after the steps of an epoch, if it does anything.
    Refining {
        /// Epoch, from 1.
        epoch: usize,
    },
    /// The test set is being evaluated.
    Evaluating {
        /// Epoch, from 1.
        epoch: usize,
    },
}

/// Watches a training run.
pub trait Observer {
    /// Something happened.
    fn event(&mut self, event: &Event<'_>);
}

/// An observer that does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _event: &Event<'_>) {}
}

/// Everything a training run needs besides the model.
#[allow(missing_debug_implementations)]
pub struct Trainer<'a> {
    /// Its settings, checked.
    pub config: &'a TrainingConfig,
    /// The run's seed, on which the noise depends.
    pub seed: u64,
    /// The device of the model's parameters, with autodiff.
    pub device: &'a Device,
    /// Further devices, with autodiff, that compute parts of each batch at the same time; empty for none.
    pub helpers: &'a [Device],
    /// Training batches.
    pub train: &'a dyn BatchSource,
    /// The same training images without augmentation, in the order of the data set, for models that look at them between
    /// epochs.
    pub unchanged: &'a dyn BatchSource,
    /// Test batches.
    pub test: &'a dyn BatchSource,
    /// Names for warnings; may be empty.
    pub class_names: &'a [String],
    /// A digest of the data: a run goes on only with the data it began with.
    pub data_digest: &'a str,
    /// Where metrics and checkpoints go; `None` keeps nothing.
    pub run: Option<&'a RunDirectory>,
    /// Who watches.
    pub observer: &'a mut dyn Observer,
}

/// A trained model and its last figures.
#[derive(Debug)]
pub struct Trained {
    /// In evaluation mode.
    pub model: BoxModel,
    /// The record of the last epoch; `None` if a resumed run was already complete.
    pub last: Option<EpochRecord>,
}

/// The parts of a run that change from step to step.
struct Progress {
    learner: Learner,
    state: TrainingState,
    log: Option<MetricsLog>,
    pending: Vec<DeviceFigures>,
    last_good: String,
}

impl Trainer<'_> {
    /// Trains `model`, built with fresh weights from the run's configuration.
    ///
    /// With `resume`, goes on from the run directory's newest complete and undamaged checkpoint (from the beginning if there is none
    /// at all) and ends with what an uninterrupted run ends with, bit for bit, on the same device with the same number of threads.
    /// Without, the run directory's metrics and checkpoints give way to new ones.
    ///
    /// # Errors
    /// [`Error::NotFinite`](crate::Error::NotFinite) if a loss is no longer finite; [`Error::RunBusy`](crate::Error::RunBusy) if
    /// another process trains in the run directory; [`Error::Damaged`](crate::Error::Damaged) if there are checkpoints and none of them
    /// is whole, or they are of other data or another model; errors of the data and the file system.
    pub fn fit(&mut self, model: BoxModel, resume: bool) -> Result<Trained> {
        // Held to the end: two processes would cut each other's metrics and remove each other's checkpoints.
        let _lock = self.run.map(RunDirectory::lock).transpose()?;
        let mut progress = self.begin(model, resume)?;
        let mut last = None;
        while progress.state.epoch < self.config.epochs {
            let (next, record) = self.epoch(progress)?;
            progress = next;
            last = Some(record);
        }
        Ok(Trained {
            model: progress.learner.model().valid(),
            last,
        })
    }

    fn begin(&mut self, model: BoxModel, resume: bool) -> Result<Progress> {
        let mut checkpoint = None;
        if let Some(run) = self.run {
            checkpoint::remove_unfinished(run)?;
            if resume {
                let (newest, passed_over) = checkpoint::newest_sound(run)?;
                for damage in &passed_over {
                    self.observer.event(&Event::PassedOver { damage });
                }
                checkpoint = newest;
            } else {
                checkpoint::remove_all(run)?;
            }
        }
        let fresh = TrainingState {
            data_digest: self.data_digest.to_string(),
            ..TrainingState::default()
        };
        let learner = Learner::new(model, self.config)?;
        let (state, learner, checkpoint) = match checkpoint {
            Some(sound) => {
                let learner = checkpoint::load(&sound, learner)?;
                (sound.state, learner, Some(sound.path))
            }
            None => (fresh.clone(), learner, None),
        };
        if let Some(path) = &checkpoint
            && state.data_digest != fresh.data_digest
        {
            let reason = "was made with other data than are there now; resuming would mix them";
            return Err(Error::damaged(path, reason));
        }
        let log = match self.run {
            Some(run) => Some(run.open_metrics(state.metrics_bytes)?),
            None => None,
        };
        self.observer.event(&Event::Started {
            epochs: self.config.epochs,
            steps: self.steps(),
            epoch: state.epoch,
            step_in_epoch: state.step_in_epoch,
            checkpoint: checkpoint.clone(),
        });
        Ok(Progress {
            learner,
            state,
            log,
            pending: Vec::new(),
            last_good: describe_checkpoint(checkpoint.as_ref()),
        })
    }

    fn steps(&self) -> usize {
        let all = self.train.batches();
        self.config.max_batches.map_or(all, |limit| limit.min(all))
    }

    fn epoch(&mut self, mut progress: Progress) -> Result<(Progress, EpochRecord)> {
        let epoch = progress.state.epoch + 1;
        let begun = Instant::now();
        let mut samples = 0usize;
        let first = progress.state.step_in_epoch;
        let phase = progress.learner.model().phase(progress.state.epoch);
        progress.learner.enter(self.config, &phase)?;
        let steps = if phase.steps { self.steps() } else { first };
        let mut batches = self.train.epoch(progress.state.epoch as u64, first)?;
        for _ in first..steps {
            let Some(host) = batches.next() else { break };
            let done;
            (progress, done) = self.step(progress, host?)?;
            samples += done;
        }
        let waited_seconds = batches.waited().as_secs_f64();
        drop(batches);
        self.flush(&mut progress)?;
        let train_seconds = begun.elapsed().as_secs_f64();

        self.observer.event(&Event::Refining { epoch });
        let begun = Instant::now();
        progress.learner = self.refine(progress.learner, progress.state.epoch)?;
        let refining_seconds = begun.elapsed().as_secs_f64();

        self.observer.event(&Event::Evaluating { epoch });
        let begun = Instant::now();
        let test = evaluate(
            progress.learner.model(),
            self.test,
            self.config.max_batches,
            self.device,
        )?;
        test.figures
            .check_finite(epoch, progress.state.step, &progress.last_good)?;
        let mut warnings = test
            .prototypes
            .as_ref()
            .map(|health| health.warnings(self.class_names, &test.figures.terms))
            .unwrap_or_default();
        let skipped = progress.learner.take_skipped();
        if skipped > 0 {
            warnings.push(format!(
                "{skipped} steps of this epoch were left out: their gradients did not fit into f16"
            ));
        }
        let record = EpochRecord {
            epoch,
            step: progress.state.step,
            train: progress.state.sums.figures(),
            test: test.figures,
            prototypes: test.prototypes,
            warnings,
            timing: Timing {
                train_seconds,
                refining_seconds,
                test_seconds: begun.elapsed().as_secs_f64(),
                waited_seconds,
                waited_share: waited_seconds / train_seconds.max(f64::MIN_POSITIVE),
                images_per_second: samples as f64 / train_seconds.max(f64::MIN_POSITIVE),
            },
        };
        self.write(&mut progress, MetricsLine::Epoch(Box::new(record.clone())))?;
        progress.state.epoch = epoch;
        progress.state.step_in_epoch = 0;
        progress.state.sums = Sums::default();
        self.checkpoint(&mut progress)?;
        Ok((progress, record))
    }

    /// What the model does after the steps of `epoch`, from 0.
    fn refine(&self, learner: Learner, epoch: usize) -> Result<Learner> {
        let device = self.device.clone().without_autodiff();
        let changed = learner.model().after_epoch(&EpochDone {
            epoch,
            epochs: self.config.epochs,
            seed: self.seed,
            images: self.unchanged,
            max_batches: self.config.max_batches,
            device: &device,
        })?;
        match changed {
            Some(model) => learner.try_map(|_, optimizer| Ok((model, optimizer))),
            None => Ok(learner),
        }
    }

    /// A batch in the parts that the configuration asks of each device, dealt out in turn.
    fn parts(&self, host: HostBatch, progress: &Progress) -> Result<Vec<Batch>> {
        let devices = || std::iter::once(self.device).chain(self.helpers);
        let parts = self.config.batch_parts.saturating_mul(devices().count());
        let model = progress.learner.model();
        let on = |(host, device)| {
            Batch::new(
                host,
                model.image_shape(),
                model.classes(),
                self.seed,
                progress.state.epoch as u64,
                device,
            )
        };
        let hosts = host.into_parts(parts).into_iter();
        hosts.zip(devices().cycle()).map(on).collect()
    }

    /// One optimisation step; gives the number of samples in it.
    fn step(&mut self, mut progress: Progress, host: HostBatch) -> Result<(Progress, usize)> {
        let samples = host.labels.len();
        let parts = self.parts(host, &progress)?;
        let threads = 1 + self.helpers.len();
        let (learner, figures) = progress.learner.step_with_figures(&parts, threads);
        progress.learner = learner;
        let seen = parts.into_iter().next();
        progress.state.step += 1;
        progress.state.step_in_epoch += 1;
        let (step, step_in_epoch) = (progress.state.step, progress.state.step_in_epoch);
        progress
            .pending
            .extend(figures.map(|figures| figures.at(step)));
        self.observer.event(&Event::Step {
            epoch: progress.state.epoch + 1,
            step_in_epoch,
            samples,
        });
        if step.is_multiple_of(self.config.log_every) {
            self.flush(&mut progress)?;
        }
        let every = self.config.checkpoint_every;
        if every > 0 && step.is_multiple_of(every) && step_in_epoch < self.steps() {
            self.flush(&mut progress)?;
            Self::check_sound(&progress, seen.as_ref())?;
            self.checkpoint(&mut progress)?;
        }
        Ok((progress, samples))
    }

    /// The figures of a step are those before its update, so they do not tell whether that broke the model; at the end of an
    /// epoch the evaluation does. `seen` is a part of the step's batch.
    fn check_sound(progress: &Progress, seen: Option<&Batch>) -> Result<()> {
        let model = progress.learner.model();
        let broken = broken_parameters(model);
        let Some(first) = broken.first() else {
            let figures = seen.and_then(|batch| figures_after(model, batch));
            return figures.map_or(Ok(()), |figures| {
                let figures = figures.at(progress.state.step);
                figures.check_finite(progress.state.epoch + 1, &progress.last_good)
            });
        };
        let more = match broken.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Err(Error::NotFinite {
            epoch: progress.state.epoch + 1,
            step: progress.state.step,
            terms: format!("the step left values in {first}{more} that are not"),
            checkpoint: progress.last_good.clone(),
        })
    }

    /// Fetches the figures of all steps since the last time; the only place where the loop waits for the device.
    fn flush(&mut self, progress: &mut Progress) -> Result<()> {
        let epoch = progress.state.epoch + 1;
        for figures in DeviceFigures::fetch(&mut progress.pending) {
            figures.check_finite(epoch, &progress.last_good)?;
            progress.state.sums.add(&figures);
            if figures.step.is_multiple_of(self.config.log_every) {
                let line = MetricsLine::Step {
                    epoch,
                    step: figures.step,
                    figures: figures.figures(),
                };
                self.write(progress, line)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, progress: &mut Progress, line: MetricsLine) -> Result<()> {
        if let Some(log) = &mut progress.log {
            log.append(&line)?;
        }
        self.observer.event(&Event::Metrics(&line));
        Ok(())
    }

    fn checkpoint(&mut self, progress: &mut Progress) -> Result<()> {
        let (Some(run), Some(log)) = (self.run, &mut progress.log) else {
            return Ok(());
        };
        progress.state.metrics_bytes = log.sync()?;
        let path = checkpoint::save(
            run,
            &progress.state,
            &progress.learner,
            self.config.keep_checkpoints,
        )?;
        progress.last_good = describe_checkpoint(Some(&path));
        Ok(())
    }
}

fn describe_checkpoint(path: Option<&PathBuf>) -> String {
    match path {
        // A resumed run repeats itself exactly, whatever went wrong included.
        Some(path) => format!(
            "the last good checkpoint is {}; going on from it comes to the same again, so begin anew with a lower training.learning_rate",
            path.display()
        ),
        None => "there is no checkpoint yet; try a lower training.learning_rate".to_string(),
    }
}
