//! Training of a toy: it learns, repeats itself bit for bit, goes on after any crash as if there had been none, and says
//! what is wrong with damaged files.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use protovae_core::loss::{Convention, LossConfig};
use protovae_core::model::{
    BoxModel, LossTerm, Mode, Model, ModelConfig, ModelSpec, Prediction, StepOutput,
};
use protovae_core::plugin::{BoxEncoder, Encoder, Posterior, PrototypeBank};
use protovae_core::random::{Initializer, Purpose};
use protovae_core::train::{
    Batch, BatchSource, EpochRecord, Event, HostBatch, InMemorySource, MetricsLine, ModelCard,
    Observer, RunDirectory, Silent, Timing, Trained, Trainer, TrainingConfig, evaluate, load_model,
    newest_checkpoint, read_card, save_model, write_atomically,
};
use protovae_core::{Error, ImageShape, Result};
use serde_json::{Value, json};

use common::toys::toy_protovae;
use common::{flat, values};

const IMAGE: ImageShape = ImageShape::new(1, 2, 3);
const CLASSES: usize = 2;
const SPEC: ModelSpec = ModelSpec {
    image: IMAGE,
    classes: CLASSES,
};
const SEED: u64 = 11;

/// Bright images are class 1, dark ones class 0.
fn batch(samples: usize, number: u64) -> HostBatch {
    let noise = values(samples * IMAGE.values(), 100 + number, -0.5, 0.5);
    let labels: Vec<usize> = (0..samples)
        .map(|sample| (sample + number as usize) % CLASSES)
        .collect();
    let images = noise
        .iter()
        .enumerate()
        .map(|(index, noise)| {
            let label = labels[index / IMAGE.values()];
            noise + if label == 1 { 0.45 } else { -0.45 }
        })
        .collect();
    HostBatch {
        images,
        labels,
        indices: (0..samples as u64)
            .map(|sample| number * 100 + sample)
            .collect(),
        shape: IMAGE,
    }
}

/// Five batches, the last smaller.
fn train_source() -> InMemorySource {
    let sizes = [6, 6, 6, 6, 3];
    InMemorySource::new(
        sizes
            .iter()
            .enumerate()
            .map(|(number, size)| batch(*size, number as u64))
            .collect(),
    )
}

fn test_source() -> InMemorySource {
    InMemorySource::new(vec![batch(8, 50), batch(5, 51)])
}

fn recipe() -> Box<dyn ModelConfig> {
    let mut recipe = toy_protovae(3, 2, LossConfig::new(Convention::SampledMean));
    recipe.latent_dimensions = 3;
    Box::new(recipe)
}

fn fresh(recipe: &dyn ModelConfig) -> BoxModel {
    let device = Device::flex().autodiff();
    recipe
        .build(&SPEC, &mut Initializer::new(SEED, &device))
        .unwrap()
}

fn settings(epochs: usize) -> TrainingConfig {
    TrainingConfig {
        epochs,
        batch_size: 6,
        learning_rate: 0.02,
        log_every: 2,
        ..TrainingConfig::default()
    }
}

fn fit_model(
    config: &TrainingConfig,
    model: BoxModel,
    run: Option<&RunDirectory>,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Trained> {
    Trainer {
        config,
        seed: SEED,
        device: &Device::flex().autodiff(),
        train: &train_source(),
        test: &test_source(),
        class_names: &[],
        data_digest: "toy",
        run,
        observer,
    }
    .fit(model, resume)
}

fn fit(config: &TrainingConfig, run: &RunDirectory, resume: bool) -> Result<Trained> {
    fit_model(config, fresh(&*recipe()), Some(run), resume, &mut Silent)
}

fn card() -> ModelCard {
    let recipe = recipe();
    let model = serde_json::to_value(recipe.resolved(&SPEC).unwrap()).unwrap();
    ModelCard {
        class_names: vec!["dark".to_string(), "bright".to_string()],
        seed: SEED,
        ..ModelCard::new(model, recipe.reported_as(), IMAGE)
    }
}

fn model_bytes(folder: &Path, model: &BoxModel) -> Vec<u8> {
    let path = folder.join("model.safetensors");
    save_model(&path, model, &card()).unwrap();
    fs::read(path).unwrap()
}

fn new_run(place: PathBuf) -> RunDirectory {
    let run = RunDirectory::create(place, false).unwrap();
    run.write_config(&json!({"toy": true})).unwrap();
    run
}

/// Metrics without the one part that two equal runs do not share.
fn metrics(run: &RunDirectory) -> Vec<MetricsLine> {
    let mut lines = run.read_metrics().unwrap();
    for line in &mut lines {
        if let MetricsLine::Epoch(record) = line {
            record.timing = Timing::default();
        }
    }
    lines
}

fn epochs(run: &RunDirectory) -> Vec<EpochRecord> {
    let lines = metrics(run).into_iter();
    lines
        .filter_map(|line| match line {
            MetricsLine::Epoch(record) => Some(*record),
            _ => None,
        })
        .collect()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let place = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &place);
        } else {
            fs::copy(&path, &place).unwrap();
        }
    }
}

// It learns, and repeats itself ---------------------------------------------------------------------------------------

#[test]
fn the_loss_falls_and_the_toy_learns() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path().join("run"));
    let trained = fit(&settings(15), &run, false).unwrap();
    let records = epochs(&run);
    assert_eq!(records.len(), 15);
    let (first, last) = (&records[0], records.last().unwrap());
    assert!(
        last.train.loss < 0.7 * first.train.loss,
        "{first:?} {last:?}"
    );
    assert!(last.test.loss < first.test.loss);
    assert_eq!(last.test.accuracy, 1.0);
    assert_eq!((last.train.samples, last.test.samples), (27, 13));
    assert_eq!((last.epoch, last.step), (15, 75));
    assert_eq!(trained.last.unwrap().test, last.test);
    let names: Vec<&String> = last.test.terms.keys().collect();
    assert_eq!(
        names,
        ["kl", "orthonormality", "prediction", "reconstruction"]
    );
    // Every second step has a line, each epoch one.
    assert_eq!(metrics(&run).len(), 75 / 2 + 15);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let train = |name: &str| {
        let run = new_run(folder.path().join(name));
        let trained = fit(&settings(3), &run, false).unwrap();
        (model_bytes(run.path(), &trained.model), metrics(&run))
    };
    let (first, second) = (train("first"), train("second"));
    assert_eq!(first.0, second.0);
    assert_eq!(first.1, second.1);
    // Keeping no run directory changes nothing.
    let alone = fit_model(&settings(3), fresh(&*recipe()), None, false, &mut Silent).unwrap();
    assert_eq!(model_bytes(folder.path(), &alone.model), first.0);
    // Another seed for the noise does.
    let other = Trainer {
        config: &settings(3),
        seed: SEED + 1,
        device: &Device::flex().autodiff(),
        train: &train_source(),
        test: &test_source(),
        class_names: &[],
        data_digest: "toy",
        run: None,
        observer: &mut Silent,
    }
    .fit(fresh(&*recipe()), false)
    .unwrap();
    assert_ne!(model_bytes(folder.path(), &other.model), first.0);
}

// It goes on ----------------------------------------------------------------------------------------------------------

#[test]
fn one_epoch_and_two_more_are_three() {
    let folder = tempfile::tempdir().unwrap();
    let straight = new_run(folder.path().join("straight"));
    let whole = fit(&settings(3), &straight, false).unwrap();
    let expected = model_bytes(straight.path(), &whole.model);

    let run = new_run(folder.path().join("resumed"));
    fit(&settings(1), &run, false).unwrap();
    assert_eq!(epochs(&run).len(), 1);
    let run = RunDirectory::open(run.path()).unwrap();
    let resumed = fit(&settings(3), &run, true).unwrap();
    assert_eq!(model_bytes(run.path(), &resumed.model), expected);
    assert_eq!(metrics(&run), metrics(&straight));

    // Resuming what is complete changes nothing.
    let again = fit(&settings(3), &run, true).unwrap();
    assert!(again.last.is_none());
    assert_eq!(model_bytes(run.path(), &again.model), expected);
    assert_eq!(metrics(&run), metrics(&straight));
}

#[test]
fn resuming_a_run_without_a_checkpoint_begins_it() {
    let folder = tempfile::tempdir().unwrap();
    let straight = new_run(folder.path().join("straight"));
    let whole = fit(&settings(1), &straight, false).unwrap();
    let run = new_run(folder.path().join("resumed"));
    assert!(newest_checkpoint(&run).unwrap().is_none());
    let resumed = fit(&settings(1), &run, true).unwrap();
    assert_eq!(
        model_bytes(run.path(), &resumed.model),
        model_bytes(straight.path(), &whole.model)
    );
    assert_eq!(metrics(&run), metrics(&straight));
}

/// Copies the run directory at each event, as a crash at that moment would leave it.
struct Crashes {
    run: PathBuf,
    copies: PathBuf,
    events: Vec<String>,
}

impl Observer for Crashes {
    fn event(&mut self, event: &Event<'_>) {
        let name = self.copies.join(format!("{:04}", self.events.len()));
        copy_folder(&self.run, &name);
        let text = format!("{event:?}");
        self.events.push(text.chars().take(60).collect());
    }
}

#[test]
fn a_crash_at_any_moment_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = TrainingConfig {
        checkpoint_every: 2,
        ..settings(2)
    };
    let straight = new_run(folder.path().join("straight"));
    let mut crashes = Crashes {
        run: straight.path().to_path_buf(),
        copies: folder.path().join("copies"),
        events: Vec::new(),
    };
    let whole = fit_model(
        &config,
        fresh(&*recipe()),
        Some(&straight),
        false,
        &mut crashes,
    )
    .unwrap();
    let expected = model_bytes(straight.path(), &whole.model);
    // Checkpoints cost nothing but time.
    let plain = fit_model(&settings(2), fresh(&*recipe()), None, false, &mut Silent).unwrap();
    assert_eq!(model_bytes(folder.path(), &plain.model), expected);

    let mut from_middle = 0;
    for (number, event) in crashes.events.iter().enumerate() {
        let run = RunDirectory::open(crashes.copies.join(format!("{number:04}"))).unwrap();
        // What a kill in the middle of a write leaves: half a line, half a checkpoint, half a file.
        let half = fs::read(run.metrics()).unwrap_or_default();
        let half = [half.as_slice(), b"{\"event\":\"step\",\"epo"].concat();
        fs::write(run.metrics(), half).unwrap();
        let unfinished = run.checkpoints().join(".writing-step-000000007");
        fs::create_dir_all(&unfinished).unwrap();
        fs::write(unfinished.join("state.json"), b"{").unwrap();
        fs::write(unfinished.join("model.bpk"), b"half").unwrap();
        let unfinished_file = run.path().join(".writing-model.safetensors");
        fs::write(&unfinished_file, b"half").unwrap();

        let mut start = Starts::default();
        let resumed = fit_model(&config, fresh(&*recipe()), Some(&run), true, &mut start).unwrap();
        assert_eq!(model_bytes(run.path(), &resumed.model), expected, "{event}");
        assert_eq!(metrics(&run), metrics(&straight), "{event}");
        assert!(!unfinished.exists() && !unfinished_file.exists(), "{event}");
        from_middle += usize::from(start.step_in_epoch > 0);
    }
    assert!(
        crashes.events.len() > 15 && from_middle > 5,
        "{:?}",
        crashes.events
    );
}

/// Where a run began.
#[derive(Default)]
struct Starts {
    epoch: usize,
    step_in_epoch: usize,
    checkpoint: Option<PathBuf>,
    steps: usize,
}

impl Observer for Starts {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Started {
                epoch,
                step_in_epoch,
                checkpoint,
                ..
            } => {
                (self.epoch, self.step_in_epoch) = (*epoch, *step_in_epoch);
                self.checkpoint.clone_from(checkpoint);
            }
            Event::Step { .. } => self.steps += 1,
            _ => {}
        }
    }
}

#[test]
fn a_half_written_checkpoint_is_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path().join("run"));
    fit(&settings(1), &run, false).unwrap();
    let good = newest_checkpoint(&run).unwrap().unwrap();
    assert_eq!(good.file_name().unwrap(), "step-000000005");
    // Newer, and complete as far as it goes.
    let unfinished = run.checkpoints().join(".writing-step-000000009");
    copy_folder(&good, &unfinished);
    // One without its state is none either; it is not ours to remove.
    let stateless = run.checkpoints().join("step-000000008");
    copy_folder(&good, &stateless);
    fs::remove_file(stateless.join("state.json")).unwrap();
    assert_eq!(newest_checkpoint(&run).unwrap().unwrap(), good);

    let mut start = Starts::default();
    fit_model(
        &settings(2),
        fresh(&*recipe()),
        Some(&run),
        true,
        &mut start,
    )
    .unwrap();
    assert_eq!((start.epoch, start.step_in_epoch, start.steps), (1, 0, 5));
    assert_eq!(start.checkpoint.unwrap(), good);
    assert!(!unfinished.exists());
}

#[test]
fn old_checkpoints_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    for (keep, expected) in [
        (1, vec!["step-000000010"]),
        (
            3,
            vec!["step-000000006", "step-000000008", "step-000000010"],
        ),
    ] {
        let run = new_run(folder.path().join(keep.to_string()));
        let config = TrainingConfig {
            checkpoint_every: 2,
            keep_checkpoints: keep,
            ..settings(2)
        };
        fit(&config, &run, false).unwrap();
        let mut found: Vec<String> = fs::read_dir(run.checkpoints())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, expected);
    }
}

#[test]
fn max_batches_ends_epochs_early() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path().join("run"));
    let config = TrainingConfig {
        max_batches: Some(1),
        ..settings(2)
    };
    fit(&config, &run, false).unwrap();
    let records = epochs(&run);
    let samples: Vec<_> = records
        .iter()
        .map(|record| (record.step, record.train.samples, record.test.samples))
        .collect();
    assert_eq!(samples, [(1, 6, 8), (2, 6, 8)]);
}

// It stops ------------------------------------------------------------------------------------------------------------

#[test]
fn a_loss_that_is_no_longer_finite_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let explosive = TrainingConfig {
        learning_rate: 1e30,
        ..settings(3)
    };
    let run = new_run(folder.path().join("run"));
    let not_finite = |error: Error| match error {
        Error::NotFinite {
            epoch,
            step,
            terms,
            checkpoint,
        } => (epoch, step, terms, checkpoint),
        other => panic!("{other}"),
    };
    let error = fit(&explosive, &run, false).unwrap_err();
    let (epoch, step, terms, checkpoint) = not_finite(error);
    assert_eq!((epoch, step), (1, 2));
    for name in [
        "loss ",
        "prediction ",
        "reconstruction ",
        "kl ",
        "orthonormality ",
    ] {
        assert!(terms.contains(name), "{terms}");
    }
    assert!(terms.contains("NaN") || terms.contains("inf"), "{terms}");
    assert!(checkpoint.contains("no checkpoint"), "{checkpoint}");
    assert!(newest_checkpoint(&run).unwrap().is_none());

    // After a good epoch the message names what to go back to.
    fit(&settings(1), &run, false).unwrap();
    let good = newest_checkpoint(&run).unwrap().unwrap();
    let (epoch, step, _, checkpoint) = not_finite(fit(&explosive, &run, true).unwrap_err());
    assert_eq!((epoch, step), (2, 7));
    assert!(checkpoint.contains(good.to_str().unwrap()), "{checkpoint}");
    assert_eq!(newest_checkpoint(&run).unwrap().unwrap(), good);
    // The metrics are still readable, and the good epoch's record is among them.
    assert_eq!(epochs(&run).len(), 1);
    // From there a sane rate goes on.
    fit(&settings(2), &run, true).unwrap();
    assert_eq!(epochs(&run).len(), 2);
}

/// Its last step breaks the model, so that it is the evaluation that finds out.
#[test]
fn a_model_broken_by_the_last_step_of_an_epoch_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path().join("run"));
    let config = TrainingConfig {
        learning_rate: 1e30,
        max_batches: Some(1),
        ..settings(3)
    };
    let error = fit(&config, &run, false).unwrap_err();
    assert!(matches!(error, Error::NotFinite { .. }), "{error}");
    assert!(newest_checkpoint(&run).unwrap().is_none());
    run.read_metrics().unwrap();
}

struct Failing {
    inner: InMemorySource,
}

struct FailingEpoch;

impl Iterator for FailingEpoch {
    type Item = Result<HostBatch>;
    fn next(&mut self) -> Option<Self::Item> {
        Some(Err(Error::Data("the disk is gone".into())))
    }
}

impl protovae_core::train::EpochBatches for FailingEpoch {
    fn waited(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

impl BatchSource for Failing {
    fn samples(&self) -> usize {
        self.inner.samples()
    }
    fn batches(&self) -> usize {
        self.inner.batches()
    }
    fn epoch(&self, _: u64, _: usize) -> Result<Box<dyn protovae_core::train::EpochBatches + '_>> {
        Ok(Box::new(FailingEpoch))
    }
}

#[test]
fn errors_of_the_data_are_passed_on() {
    let failing = Failing {
        inner: train_source(),
    };
    assert_eq!((failing.samples(), failing.batches()), (27, 5));
    let error = Trainer {
        config: &settings(1),
        seed: SEED,
        device: &Device::flex().autodiff(),
        train: &failing,
        test: &test_source(),
        class_names: &[],
        data_digest: "toy",
        run: None,
        observer: &mut Silent,
    }
    .fit(fresh(&*recipe()), false)
    .unwrap_err();
    assert_eq!(error.to_string(), "data: the disk is gone");
}

// Damage --------------------------------------------------------------------------------------------------------------

#[test]
fn a_damaged_checkpoint_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path().join("run"));
    fit(&settings(1), &run, false).unwrap();
    let checkpoint = newest_checkpoint(&run).unwrap().unwrap();
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    let halve = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2);
    let empty = |bytes: &mut Vec<u8>| bytes.clear();
    let longer = |bytes: &mut Vec<u8>| bytes.push(0);
    type Damage<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>));
    let ways: [Damage<'_>; 4] = [
        ("flip", &flip),
        ("halve", &halve),
        ("empty", &empty),
        ("longer", &longer),
    ];
    for name in ["model.bpk", "optimizer.bpk", "state.json"] {
        let path = checkpoint.join(name);
        let good = fs::read(&path).unwrap();
        for (way, damage) in ways {
            if name == "state.json" && way == "flip" {
                continue; // below
            }
            let mut bytes = good.clone();
            damage(&mut bytes);
            fs::write(&path, bytes).unwrap();
            match fit(&settings(2), &run, true) {
                Err(Error::Damaged { path: found, .. }) => assert_eq!(found, path),
                other => panic!("{name}, {way}: {other:?}"),
            }
        }
        fs::remove_file(&path).unwrap();
        if name != "state.json" {
            let error = fit(&settings(2), &run, true).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        fs::write(&path, good).unwrap();
    }
    // A state of another version of this program, or with another meaning.
    let state = checkpoint.join("state.json");
    let good: Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
    let mut unknown = good.clone();
    unknown["training"]["momentum"] = json!(1);
    let mut forgotten = good.clone();
    forgotten["files"]
        .as_object_mut()
        .unwrap()
        .remove("model.bpk");
    for broken in [unknown, forgotten, json!([]), json!(null)] {
        fs::write(&state, broken.to_string()).unwrap();
        let error = fit(&settings(2), &run, true).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }
    fs::write(&state, good.to_string()).unwrap();
    // Metrics that were shortened behind the checkpoint's back.
    let lines = fs::read(run.metrics()).unwrap();
    fs::write(run.metrics(), &lines[..lines.len() - 1]).unwrap();
    let error = fit(&settings(2), &run, true).unwrap_err();
    assert!(error.to_string().contains("shortened"), "{error}");
    fs::write(run.metrics(), lines).unwrap();
    // All repaired, it goes on.
    fit(&settings(2), &run, true).unwrap();
}

#[test]
fn a_checkpoint_of_another_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path().join("run"));
    fit(&settings(1), &run, false).unwrap();
    let other = toy_protovae(4, 2, LossConfig::default());
    let result = fit_model(&settings(2), fresh(&other), Some(&run), true, &mut Silent);
    assert!(matches!(result, Err(Error::Damaged { .. })), "{result:?}");
}

#[test]
fn metrics_that_are_none_are_named_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path().join("run"));
    fit(&settings(1), &run, false).unwrap();
    let mut lines = fs::read_to_string(run.metrics()).unwrap();
    let count = lines.lines().count();
    lines.push_str("{}\n");
    fs::write(run.metrics(), lines).unwrap();
    let error = run.read_metrics().unwrap_err().to_string();
    assert!(error.contains(&format!("line {}", count + 1)), "{error}");
}

// Run directories -----------------------------------------------------------------------------------------------------

#[test]
fn run_directories_overwrite_runs_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("run");
    let run = new_run(place.clone());
    fs::write(run.metrics(), b"old").unwrap();
    // A run is not replaced unless asked to, and then wholly.
    let error = RunDirectory::create(&place, false).unwrap_err();
    assert!(
        matches!(&error, Error::RunExists { path } if *path == place),
        "{error}"
    );
    assert!(matches!(
        RunDirectory::check_free(&place, false),
        Err(Error::RunExists { .. })
    ));
    RunDirectory::check_free(&place, true).unwrap();
    assert!(run.metrics().exists());
    let again = RunDirectory::create(&place, true).unwrap();
    assert!(!again.metrics().exists() && !again.config().exists());
    assert!(newest_checkpoint(&again).unwrap().is_none());
    assert!(RunDirectory::open(&place).is_err());

    // Something else is never touched.
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    fs::write(photos.join("wedding.png"), b"precious").unwrap();
    for overwrite in [false, true] {
        let error = RunDirectory::create(&photos, overwrite).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert!(RunDirectory::check_free(&photos, overwrite).is_err());
    }
    assert_eq!(fs::read(photos.join("wedding.png")).unwrap(), b"precious");
    assert!(!photos.join("checkpoints").exists());
    let file = folder.path().join("file");
    fs::write(&file, b"precious").unwrap();
    for overwrite in [false, true] {
        assert!(RunDirectory::create(&file, overwrite).is_err());
    }
    assert_eq!(fs::read(&file).unwrap(), b"precious");

    // An empty folder, and one that is not there yet, will do.
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    RunDirectory::create(&empty, false).unwrap();
    RunDirectory::create(folder.path().join("a/b/c"), false).unwrap();

    assert!(RunDirectory::open(&photos).is_err());
    assert!(RunDirectory::open(folder.path().join("nowhere")).is_err());
    let config = json!({"seed": 1});
    again.write_config(&config).unwrap();
    let opened = RunDirectory::open(&place).unwrap();
    let text = fs::read_to_string(opened.config()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), config);
}

#[test]
fn atomic_writes_leave_nothing_beside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for content in [b"first".as_slice(), b"", b"second"] {
        write_atomically(&path, content).unwrap();
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(write_atomically(&folder.path().join("nowhere/file"), b"").is_err());
}

// Model files ---------------------------------------------------------------------------------------------------------

fn trained_model() -> BoxModel {
    fit_model(&settings(2), fresh(&*recipe()), None, false, &mut Silent)
        .unwrap()
        .model
}

#[test]
fn a_loaded_model_predicts_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let model = trained_model();
    let bytes = model_bytes(folder.path(), &model);
    let path = folder.path().join("model.safetensors");
    let device = Device::flex();
    let (loaded, found) = load_model(&path, &device).unwrap();
    assert_eq!(found, card());
    assert_eq!(read_card(&path).unwrap(), card());
    let host = batch(7, 90);
    let images = Batch::new(host, IMAGE, CLASSES, 0, 0, &device)
        .unwrap()
        .images;
    let (one, other) = (model.predict(images.clone()), loaded.predict(images));
    assert_eq!(flat(one.logits), flat(other.logits));
    assert_eq!(
        flat(one.similarities.unwrap()),
        flat(other.similarities.unwrap())
    );
    let (one_z, other_z) = (one.latents.unwrap(), other.latents.unwrap());
    assert_eq!(flat(one_z.clone()), flat(other_z.clone()));
    assert_eq!(
        flat(model.decode(one_z).unwrap()),
        flat(loaded.decode(other_z).unwrap())
    );
    // And is written as the same bytes.
    assert_eq!(model_bytes(folder.path(), &loaded), bytes);
    let source = test_source();
    assert_eq!(
        evaluate(&model, &source, None, &device).unwrap(),
        evaluate(&loaded, &source, None, &device).unwrap()
    );
}

/// A model file with another header.
fn with_header(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let header = header.to_string().into_bytes();
    let mut changed = (header.len() as u64).to_le_bytes().to_vec();
    changed.extend(header);
    changed.extend(&bytes[8 + length..]);
    changed
}

fn with_card(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    with_header(bytes, |header| {
        let text = header["__metadata__"]["protovae"].as_str().unwrap();
        let mut card: Value = serde_json::from_str(text).unwrap();
        change(&mut card);
        header["__metadata__"]["protovae"] = json!(card.to_string());
    })
}

/// The name and header entry of some tensor.
fn a_tensor(header: &Value) -> String {
    let names = header.as_object().unwrap().keys();
    names
        .filter(|name| *name != "__metadata__")
        .min()
        .unwrap()
        .clone()
}

#[test]
fn model_files_that_are_none_are_errors_not_panics() {
    let folder = tempfile::tempdir().unwrap();
    let good = model_bytes(folder.path(), &trained_model());
    let path = folder.path().join("broken.safetensors");
    let device = Device::flex();
    let load = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        load_model(&path, &device)
    };
    load(&with_card(&good, |_| {})).unwrap();
    let refuse = |what: &str, bytes: &[u8]| match load(bytes) {
        Ok(_) => panic!("{what} was loaded"),
        Err(error) => {
            assert!(
                matches!(error, Error::Damaged { .. } | Error::Config { .. }),
                "{what}: {error:?}"
            );
            error.to_string()
        }
    };
    // Truncated anywhere.
    for length in (0..good.len()).step_by(7).chain([good.len() - 1]) {
        refuse(&format!("a file of {length} bytes"), &good[..length]);
    }
    // Longer than it says.
    refuse("a longer file", &[good.as_slice(), &[0; 64]].concat());
    // A header that says it is huge.
    for length in [good.len() as u64 + 1, 1 << 24, 1 << 40, u64::MAX] {
        let mut bytes = good.clone();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        refuse(&format!("a header of {length}"), &bytes);
    }
    // Other files.
    let said = refuse("a foreign safetensors file", &foreign());
    assert!(said.contains("not a protovae model"), "{said}");
    for text in [
        "",
        "{}",
        "PK\u{3}\u{4} not a tensor in sight",
        "\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}",
    ] {
        refuse(text, text.as_bytes());
    }
    // Cards.
    let said = refuse(
        "a later format",
        &with_card(&good, |card| card["format"] = json!(2)),
    );
    assert!(said.contains("format 2"), "{said}");
    let said = refuse(
        "an unknown model",
        &with_card(&good, |card| {
            card["model"]["type"] = json!("from-the-future")
        }),
    );
    assert!(said.contains("from-the-future"), "{said}");
    let said = refuse(
        "an unknown plugin",
        &with_card(&good, |card| {
            card["model"]["encoder"]["type"] = json!("not-linked-in")
        }),
    );
    assert!(said.contains("not-linked-in"), "{said}");
    refuse(
        "no model",
        &with_card(&good, |card| card["model"] = json!(null)),
    );
    refuse(
        "a card without image",
        &with_card(&good, |card| {
            card.as_object_mut().unwrap().remove("image");
        }),
    );
    refuse(
        "other sizes",
        &with_card(&good, |card| card["model"]["latent_dimensions"] = json!(4)),
    );
    refuse(
        "no latents",
        &with_card(&good, |card| card["model"]["latent_dimensions"] = json!(0)),
    );
    refuse(
        "other images",
        &with_card(&good, |card| card["image"]["width"] = json!(5)),
    );
    refuse(
        "more classes",
        &with_card(&good, |card| {
            card["class_names"] = json!(["a", "b", "c"]);
        }),
    );
    refuse(
        "a card that is no text",
        &with_header(&good, |header| {
            header["__metadata__"]["protovae"] = json!(7);
        }),
    );
    refuse(
        "a card that is no card",
        &with_header(&good, |header| {
            header["__metadata__"]["protovae"] = json!("{}");
        }),
    );
    // Tensors.
    let missing = refuse(
        "a missing tensor",
        &with_header(&good, |header| {
            let name = a_tensor(header);
            header.as_object_mut().unwrap().remove(&name);
        }),
    );
    assert!(!missing.is_empty());
    refuse(
        "a renamed tensor",
        &with_header(&good, |header| {
            let name = a_tensor(header);
            let tensor = header.as_object_mut().unwrap().remove(&name).unwrap();
            header["stranger"] = tensor;
        }),
    );
    refuse(
        "a tensor of another shape",
        &with_header(&good, |header| {
            let name = a_tensor(header);
            let count: u64 = header[&name]["shape"]
                .as_array()
                .unwrap()
                .iter()
                .map(|size| size.as_u64().unwrap())
                .product();
            header[&name]["shape"] = json!([1, 1, count]);
        }),
    );
    refuse(
        "offsets beyond the end",
        &with_header(&good, |header| {
            let name = a_tensor(header);
            header[&name]["data_offsets"] = json!([0, 1u64 << 40]);
        }),
    );
    let missing = load_model(&folder.path().join("nowhere"), &device);
    assert!(matches!(missing, Err(Error::Io { .. })), "{missing:?}");
}

/// A class count of zero in a card must not be divided by.
#[test]
fn a_card_without_classes_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let good = model_bytes(folder.path(), &trained_model());
    let path = folder.path().join("broken.safetensors");
    for change in [json!(2), json!(null)] {
        let bytes = with_card(&good, |card| {
            card["class_names"] = json!([]);
            if !change.is_null() {
                card["model"]["prototypes"] = change.clone();
                card["model"]
                    .as_object_mut()
                    .unwrap()
                    .remove("prototypes_per_class");
            }
        });
        fs::write(&path, bytes).unwrap();
        assert!(load_model(&path, &Device::flex()).is_err());
    }
}

/// Any single damaged byte of the header is an error or harmless, never a panic.
#[test]
fn damaged_headers_do_not_panic() {
    let folder = tempfile::tempdir().unwrap();
    let good = model_bytes(folder.path(), &trained_model());
    let header = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let path = folder.path().join("broken.safetensors");
    for index in 0..8 + header {
        for mask in [0x01u8, 0x10, 0x80] {
            let mut bytes = good.clone();
            bytes[index] ^= mask;
            fs::write(&path, bytes).unwrap();
            let _ = load_model(&path, &Device::flex());
        }
    }
}

/// A safetensors file of someone else's.
fn foreign() -> Vec<u8> {
    let header = br#"{"weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend([0; 8]);
    bytes
}

// Batches -------------------------------------------------------------------------------------------------------------

#[test]
fn batches_that_do_not_fit_are_refused() {
    let device = Device::flex();
    let make = |host: HostBatch| Batch::new(host, IMAGE, CLASSES, 1, 2, &device);
    let good = batch(4, 1);
    let made = make(good.clone()).unwrap();
    assert_eq!(made.images.dims(), [4, 1, 2, 3]);
    assert_eq!(flat(made.images.clone()), good.images);
    assert_eq!(
        made.labels
            .clone()
            .into_data()
            .iter::<i64>()
            .collect::<Vec<_>>(),
        [1, 0, 1, 0]
    );
    // Noise is of the sample, not of its place.
    let swapped = HostBatch {
        indices: good.indices.iter().rev().copied().collect(),
        ..good.clone()
    };
    let noise = flat(made.normal_noise(2, Purpose::Posterior));
    let swapped = flat(make(swapped).unwrap().normal_noise(2, Purpose::Posterior));
    assert_eq!(noise[..2], swapped[6..]);

    let shape = ImageShape::new(1, 3, 2);
    let error = make(HostBatch {
        shape,
        ..good.clone()
    })
    .unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, Error::ImageShape { .. }), "{said}");
    assert!(said.contains("1×3×2") && said.contains("1×2×3"), "{said}");
    let mut fewer = good.clone();
    fewer.images.pop();
    let mut more = good.clone();
    more.images.push(0.0);
    let mut unnamed = good.clone();
    unnamed.indices.pop();
    let mut unlabelled = good.clone();
    unlabelled.labels.pop();
    let nothing = HostBatch {
        images: Vec::new(),
        labels: Vec::new(),
        indices: Vec::new(),
        shape: IMAGE,
    };
    let mut strange = good.clone();
    strange.labels[2] = CLASSES;
    let mut huge = good;
    huge.labels[0] = usize::MAX;
    for host in [fewer, more, unnamed, unlabelled, nothing, strange, huge] {
        let error = make(host).unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error}");
    }
}

#[test]
fn training_on_what_does_not_fit_is_an_error() {
    let wrong = HostBatch {
        images: vec![0.0; 8],
        labels: vec![0, 1],
        indices: vec![0, 1],
        shape: ImageShape::new(1, 2, 2),
    };
    let source = InMemorySource::new(vec![wrong]);
    let result = evaluate(&trained_model(), &source, None, &Device::flex());
    assert!(
        matches!(result, Err(Error::ImageShape { .. })),
        "{result:?}"
    );
}

// Evaluation ----------------------------------------------------------------------------------------------------------

/// Logits are the first pixels; similarities are the rest.
#[derive(Module, Debug)]
struct Transparent {
    encoder: BoxEncoder,
    prototypes: Param<Tensor<2>>,
}

#[derive(Module, Debug)]
struct Pixels {
    nothing: Param<Tensor<1>>,
}

impl Encoder for Pixels {
    fn encode(&self, images: Tensor<4>) -> Posterior {
        let mean = images.flatten::<2>(1, 3);
        Posterior {
            log_variance: mean.zeros_like(),
            mean,
        }
    }
}

impl Model for Transparent {
    fn kind(&self) -> &'static str {
        "transparent"
    }
    fn losses(&self, batch: &Batch, _mode: Mode) -> StepOutput {
        let predicted = self.predict(batch.images.clone());
        let brightness = batch.images.clone().mean();
        let term = |name, value, weight| LossTerm {
            name,
            value,
            weight,
        };
        StepOutput {
            terms: vec![
                term("brightness", brightness.clone(), 2.0),
                term("darkness", brightness.neg(), 0.0),
            ],
            logits: predicted.logits,
            similarities: predicted.similarities,
        }
    }
    fn predict(&self, images: Tensor<4>) -> Prediction {
        let pixels = self.encoder.encode(images).mean;
        Prediction {
            logits: pixels.clone().narrow(1, 0, 2),
            similarities: Some(pixels.clone().narrow(1, 2, 4)),
            latents: Some(pixels),
        }
    }
    fn image_shape(&self) -> ImageShape {
        IMAGE
    }
    fn classes(&self) -> usize {
        CLASSES
    }
    fn encoder(&self) -> &BoxEncoder {
        &self.encoder
    }
    fn prototypes(&self) -> Option<PrototypeBank> {
        Some(PrototypeBank {
            vectors: self.prototypes.val(),
            classes: 2,
            per_class: 2,
        })
    }
}

#[test]
fn evaluation_counts_right() {
    let device = Device::flex();
    let prototypes = vec![0.0, 0.0, 3.0, 4.0, 10.0, 0.0, 10.0, 1.0];
    let model = BoxModel::new(Transparent {
        encoder: BoxEncoder::new(Pixels {
            nothing: Param::from_tensor(Tensor::zeros([1], &device)),
        }),
        prototypes: Param::from_tensor(common::tensor(prototypes, [4, 2], &device)),
    });
    // Two logits, then similarities to prototypes 0 and 1 of class 0, 0 and 1 of class 1.
    let rows: [([f32; 6], usize); 5] = [
        ([0.5, 0.1, 0.9, 0.1, 0.0, 0.0], 0), // right, uses 0 of class 0
        ([0.5, 0.1, 0.2, 0.3, 0.9, 0.8], 0), // right, uses 1 of class 0
        ([0.1, 0.5, 0.9, 0.2, 0.1, 0.0], 0), // wrong, uses 0 of class 0
        ([0.1, 0.5, 0.9, 0.9, 0.0, 0.1], 1), // right, uses 1 of class 1
        ([0.6, 0.5, 0.9, 0.9, 0.2, 0.4], 1), // wrong, uses 1 of class 1
    ];
    let host = |rows: &[([f32; 6], usize)]| HostBatch {
        images: rows.iter().flat_map(|(pixels, _)| *pixels).collect(),
        labels: rows.iter().map(|(_, label)| *label).collect(),
        indices: (0..rows.len() as u64).collect(),
        shape: IMAGE,
    };
    let source = InMemorySource::new(vec![host(&rows[..2]), host(&rows[2..])]);
    let found = evaluate(&model, &source, None, &device).unwrap();
    assert_eq!(found.confusion, vec![vec![2, 1], vec![1, 1]]);
    assert_eq!(found.figures.samples, 5);
    assert!((found.figures.accuracy - 0.6).abs() < 1e-12);
    // Averages are over samples, not over batches.
    let all: f32 = rows.iter().flat_map(|(pixels, _)| pixels).sum();
    let brightness = f64::from(all) / 30.0;
    assert!((found.figures.terms["brightness"] - brightness).abs() < 1e-6);
    assert!((found.figures.terms["darkness"] + brightness).abs() < 1e-6);
    assert!((found.figures.loss - 2.0 * brightness).abs() < 1e-6);
    let health = found.prototypes.unwrap();
    assert_eq!(health.usage, vec![vec![2, 1], vec![0, 2]]);
    assert_eq!(health.dead, 1);
    assert_eq!(
        (health.largest_distance[0], health.smallest_distance[1]),
        (5.0, 1.0)
    );
    // The first batch alone.
    let found = evaluate(&model, &source, Some(1), &device).unwrap();
    assert_eq!(found.confusion, vec![vec![2, 0], vec![0, 0]]);
    assert_eq!((found.figures.samples, found.figures.accuracy), (2, 1.0));
    // An autodiff device is as good.
    let again = evaluate(&model, &source, Some(1), &device.clone().autodiff()).unwrap();
    assert_eq!(again, found);
}

#[test]
fn training_settings_out_of_range_are_named() {
    TrainingConfig::default().check("training").unwrap();
    let base = TrainingConfig::default;
    for (name, config) in [
        (
            "epochs",
            TrainingConfig {
                epochs: 0,
                ..base()
            },
        ),
        (
            "batch_size",
            TrainingConfig {
                batch_size: 0,
                ..base()
            },
        ),
        (
            "batch_size",
            TrainingConfig {
                batch_size: usize::MAX,
                ..base()
            },
        ),
        (
            "log_every",
            TrainingConfig {
                log_every: 0,
                ..base()
            },
        ),
        (
            "keep_checkpoints",
            TrainingConfig {
                keep_checkpoints: 0,
                ..base()
            },
        ),
        (
            "max_batches",
            TrainingConfig {
                max_batches: Some(0),
                ..base()
            },
        ),
        (
            "loader_threads",
            TrainingConfig {
                loader_threads: 5000,
                ..base()
            },
        ),
        (
            "learning_rate",
            TrainingConfig {
                learning_rate: f64::NAN,
                ..base()
            },
        ),
        (
            "learning_rate",
            TrainingConfig {
                learning_rate: -1.0,
                ..base()
            },
        ),
        (
            "adam_epsilon",
            TrainingConfig {
                adam_epsilon: 0.0,
                ..base()
            },
        ),
        (
            "beta_1",
            TrainingConfig {
                beta_1: 1.0,
                ..base()
            },
        ),
        (
            "beta_2",
            TrainingConfig {
                beta_2: f64::NAN,
                ..base()
            },
        ),
    ] {
        let said = config.check("training").unwrap_err().to_string();
        assert!(said.starts_with(&format!("training.{name}: ")), "{said}");
    }
    assert!(serde_json::from_str::<TrainingConfig>(r#"{"epoch": 3}"#).is_err());
    let text = serde_json::to_string(&base()).unwrap();
    assert_eq!(
        serde_json::from_str::<TrainingConfig>(&text).unwrap(),
        base()
    );
}
