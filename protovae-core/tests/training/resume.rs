//! It goes on, after any crash, as if there had been none.

use std::fs;
use std::path::PathBuf;

use burn::tensor::Device;
use protovae_core::Error;
use protovae_core::train::{
    Event, Observer, RunDirectory, Silent, Trainer, TrainingConfig, newest_checkpoint,
};

use crate::support::{
    SEED, copy_folder, epochs, fit, fit_model, fresh, metrics, model_bytes, new_run, recipe,
    settings, test_source, train_source,
};

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
    crash_at_any_moment(settings(2));
}

#[test]
fn nor_does_one_where_batches_are_in_parts() {
    crash_at_any_moment(TrainingConfig {
        batch_parts: 3,
        ..settings(2)
    });
}

fn crash_at_any_moment(plain: TrainingConfig) {
    let folder = tempfile::tempdir().unwrap();
    let config = TrainingConfig {
        checkpoint_every: 2,
        ..plain.clone()
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
    let plain = fit_model(&plain, fresh(&*recipe()), None, false, &mut Silent).unwrap();
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

/// What a kill leaves between taking a checkpoint away and putting the new one of the same step in its place.
#[test]
fn a_checkpoint_that_was_to_be_replaced_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path().join("run"));
    fit(&settings(1), &run, false).unwrap();
    let good = newest_checkpoint(&run).unwrap().unwrap();
    let aside = run.checkpoints().join(".writing-old-step-000000005");
    fs::rename(&good, &aside).unwrap();
    copy_folder(&aside, &run.checkpoints().join(".writing-step-000000005"));
    let mut start = Starts::default();
    let config = settings(2);
    fit_model(&config, fresh(&*recipe()), Some(&run), true, &mut start).unwrap();
    assert_eq!((start.epoch, start.checkpoint), (1, Some(good.clone())));

    // A kill later, while the old one is being removed: the new one is there.
    copy_folder(&good, &aside);
    fs::remove_file(aside.join("state.json")).unwrap();
    fit(&settings(3), &run, true).unwrap();
    assert_eq!(names(&run), ["step-000000010", "step-000000015"]);
}

#[test]
fn a_run_that_begins_anew_goes_on_from_its_own_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path().join("run"));
    fit(&settings(3), &run, false).unwrap();
    let theirs = run.checkpoints().join("step-1000");
    fs::create_dir(&theirs).unwrap();
    let config = TrainingConfig {
        checkpoint_every: 2,
        keep_checkpoints: 1,
        ..settings(1)
    };
    fit(&config, &run, false).unwrap();
    assert_eq!(names(&run), ["step-000000005", "step-1000"]);
    let mut start = Starts::default();
    let config = settings(2);
    fit_model(&config, fresh(&*recipe()), Some(&run), true, &mut start).unwrap();
    assert_eq!((start.epoch, start.steps), (1, 5));
    let straight = new_run(folder.path().join("straight"));
    fit(&config, &straight, false).unwrap();
    assert_eq!(metrics(&run), metrics(&straight));
}

fn names(run: &RunDirectory) -> Vec<String> {
    let entries = fs::read_dir(run.checkpoints()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
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
        assert_eq!(names(&run), expected);
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

#[test]
fn a_run_goes_on_with_its_own_data_only() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path().join("run"));
    fit(&settings(1), &run, false).unwrap();
    let resumed = Trainer {
        config: &settings(2),
        seed: SEED,
        device: &Device::flex().autodiff(),
        helpers: &[],
        train: &train_source(),
        unchanged: &train_source(),
        test: &test_source(),
        class_names: &[],
        data_digest: "other data",
        run: Some(&run),
        observer: &mut Silent,
    }
    .fit(fresh(&*recipe()), true);
    match resumed {
        Err(Error::Damaged { reason, .. }) => assert!(reason.contains("other data"), "{reason}"),
        other => panic!("{other:?}"),
    }
}
