//! Run directories, and writes that are whole or not there.

use std::fs;

use protovae_core::Error;
use protovae_core::train::{
    Event, Observer, RunDirectory, StagedRun, TrainingConfig, newest_checkpoint, write_atomically,
};
use serde_json::{Value, json};

use crate::support::{fit, fit_model, fresh, new_run, recipe, settings};

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

/// Other programs call their settings `config.json` too.
#[test]
fn folders_of_other_programs_are_never_emptied() {
    let folder = tempfile::tempdir().unwrap();
    let configs = [
        json!({"model_type": "bert", "hidden_size": 768}),
        json!({"model": "resnet", "training": {"lr": 0.1}}),
        json!({"model": {"type": "protovae"}}),
        json!([1]),
    ];
    let texts = configs.iter().map(Value::to_string);
    for (number, text) in texts.chain(["{".to_string()]).enumerate() {
        let place = folder.path().join(number.to_string());
        fs::create_dir_all(place.join(".git")).unwrap();
        fs::write(place.join("config.json"), &text).unwrap();
        fs::write(place.join("model.safetensors"), b"precious").unwrap();
        for overwrite in [false, true] {
            let error = RunDirectory::create(&place, overwrite).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{text}: {error}");
        }
        let kept = fs::read(place.join("model.safetensors")).unwrap();
        assert_eq!(kept, b"precious");
        assert_eq!(fs::read_dir(&place).unwrap().count(), 3);
    }
    // Checkpoints of other programs are not taken for those of a run that never got its configuration.
    let place = folder.path().join("theirs");
    fs::create_dir_all(place.join("checkpoints/step-1000")).unwrap();
    assert!(RunDirectory::create(&place, true).is_err());
}

#[test]
fn nothing_that_no_run_has_is_removed_with_a_run() {
    let folder = tempfile::tempdir().unwrap();
    for (number, foreign) in [
        "notes.txt",
        "checkpoints/mine.pt",
        "checkpoints/step-1000/model.bpk",
        "checkpoints/step-000001000/mine.pt",
        "report.html/mine",
    ]
    .iter()
    .enumerate()
    {
        let run = new_run(folder.path().join(number.to_string()));
        let own = [
            "metrics.jsonl",
            "model.safetensors",
            "prototypes.png",
            "checkpoints/step-000000005/state.json",
            ".writing-report.html",
        ];
        for name in own.iter().chain([foreign]) {
            let path = run.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"precious").unwrap();
        }
        let error = RunDirectory::create(run.path(), true).unwrap_err();
        let said = error.to_string();
        let entry = foreign.split('/').next().unwrap();
        assert!(matches!(error, Error::Damaged { .. }), "{said}");
        assert!(said.contains(entry), "{said}");
        for name in own.iter().chain([foreign]) {
            let kept = fs::read(run.path().join(name)).unwrap();
            assert_eq!(kept, b"precious", "{name}");
        }
        let foreign = run.path().join(foreign);
        fs::remove_file(&foreign).unwrap();
        let _ = fs::remove_dir(foreign.parent().unwrap());
        RunDirectory::create(run.path(), true).unwrap();
        let left = fs::read_dir(run.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [".train.lock"]);
    }
}

/// Tries to train in the run directory while it is trained in, once.
struct Intruder {
    run: RunDirectory,
    said: Vec<(bool, String)>,
}

impl Observer for Intruder {
    fn event(&mut self, event: &Event<'_>) {
        if !matches!(
            event,
            Event::Step {
                step_in_epoch: 3,
                ..
            }
        ) {
            return;
        }
        self.said.push((
            newest_checkpoint(&self.run).unwrap().is_some(),
            self.run.check_idle().unwrap_err().to_string(),
        ));
        let before = fs::read(self.run.metrics()).unwrap();
        for error in [
            fit(&settings(1), &self.run, true).unwrap_err(),
            fit(&settings(1), &self.run, false).unwrap_err(),
            RunDirectory::create(self.run.path(), true).unwrap_err(),
            RunDirectory::check_free(self.run.path(), true).unwrap_err(),
        ] {
            assert!(matches!(error, Error::RunBusy { .. }), "{error}");
        }
        assert_eq!(fs::read(self.run.metrics()).unwrap(), before);
    }
}

#[test]
fn one_process_at_a_time_trains_in_a_run_directory() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path().join("run"));
    run.check_idle().unwrap();
    let config = TrainingConfig {
        checkpoint_every: 2,
        ..settings(2)
    };
    let mut intruder = Intruder {
        run: run.clone(),
        said: Vec::new(),
    };
    let model = fresh(&*recipe());
    fit_model(&config, model, Some(&run), false, &mut intruder).unwrap();
    assert_eq!(intruder.said.len(), 2);
    for (checkpoint, said) in intruder.said {
        assert!(
            checkpoint && said.contains("another process is training in"),
            "{said}"
        );
    }
    // Nobody trains there any more: it can be gone on with, and replaced.
    run.check_idle().unwrap();
    fit(&settings(2), &run, true).unwrap();
    RunDirectory::create(run.path(), true).unwrap();
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
    // What cannot take the place of what is there is not left beside it.
    let taken = folder.path().join("taken");
    fs::create_dir_all(taken.join("inside")).unwrap();
    assert!(write_atomically(&taken, b"lost").is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn writers_of_one_file_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.md");
    // As long as a name may be with what is put before it.
    let long = folder.path().join("x".repeat(200));
    std::thread::scope(|scope| {
        for writer in 0..4u8 {
            let (path, long) = (&path, &long);
            scope.spawn(move || {
                for turn in 0..30 {
                    let whole = vec![b'a' + writer; 1000 * (1 + turn % 3)];
                    write_atomically(path, &whole).unwrap();
                    write_atomically(long, &whole).unwrap();
                    let found = fs::read(path).unwrap();
                    assert!(
                        found.len() >= 1000 && found.iter().all(|byte| *byte == found[0]),
                        "{} bytes of several writers",
                        found.len()
                    );
                }
            });
        }
    });
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_staged_run_comes_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("run");
    let config = json!({"model": {"type": "protovae"}, "data": {"type": "mnist"}});
    let names = |place: &std::path::Path| {
        let entries = fs::read_dir(place).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    let stage = |content: &[u8], overwrite: bool| {
        let staged = StagedRun::new(&place, overwrite).unwrap();
        staged.directory().write_config(&config).unwrap();
        write_atomically(&staged.directory().model(), content).unwrap();
        staged
    };
    // What fails leaves nothing, not even the folder that was made for it.
    drop(stage(b"first", false));
    assert!(!place.exists());
    let run = stage(b"first", false).finish().unwrap();
    assert_eq!(fs::read(run.model()).unwrap(), b"first");
    assert_eq!(names(&place), ["config.json", "model.safetensors"]);

    assert!(matches!(
        StagedRun::new(&place, false),
        Err(Error::RunExists { .. })
    ));
    // The run that is to be replaced stays until then.
    fs::write(place.join("prototypes.png"), b"old").unwrap();
    let staged = stage(b"second", true);
    assert_eq!(fs::read(run.model()).unwrap(), b"first");
    drop(staged);
    assert_eq!(names(&place).len(), 3);
    let staged = stage(b"second", true);
    // Something that nobody may remove came meanwhile.
    fs::write(place.join("notes.txt"), b"mine").unwrap();
    assert!(staged.finish().is_err());
    assert_eq!(fs::read(run.model()).unwrap(), b"first");
    fs::remove_file(place.join("notes.txt")).unwrap();

    // What a killed process left goes with the old run.
    let left = place.join(".writing-run-0");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("config.json"), b"{}").unwrap();
    stage(b"second", true).finish().unwrap();
    assert_eq!(fs::read(run.model()).unwrap(), b"second");
    let lock = ".train.lock";
    assert_eq!(names(&place), [lock, "config.json", "model.safetensors"]);
}
