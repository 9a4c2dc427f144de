//! Damaged runs are found, and said to be.

use std::fs;

use protovae_core::Error;
use protovae_core::loss::LossConfig;
use protovae_core::train::{Event, Observer, Silent, TrainingConfig, newest_checkpoint};
use serde_json::{Value, json};

use crate::common::toys::toy_protovae;
use crate::support::{
    copy_folder, fit, fit_model, fresh, metrics, model_bytes, new_run, recipe, settings,
};

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
                Err(Error::Damaged {
                    path: found,
                    reason,
                }) => {
                    assert_eq!(found, path);
                    // It was the only one, and what can be done is said.
                    assert!(reason.contains("to train from the beginning"), "{reason}");
                }
                other => panic!("{name}, {way}: {other:?}"),
            }
        }
        // Without one of its files it is none.
        fs::remove_file(&path).unwrap();
        assert!(newest_checkpoint(&run).unwrap().is_none(), "{name}");
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

/// What is said of damage.
#[derive(Default)]
struct Complaints(Vec<String>);

impl Observer for Complaints {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::PassedOver { damage } = event {
            self.0.push(damage.to_string());
        }
    }
}

#[test]
fn a_run_goes_on_from_the_checkpoint_before_a_damaged_one_and_ends_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let settings = |epochs| TrainingConfig {
        checkpoint_every: 2,
        ..settings(epochs)
    };
    let straight = new_run(folder.path().join("straight"));
    let whole = fit(&settings(3), &straight, false).unwrap();
    let expected = model_bytes(straight.path(), &whole.model);
    let start = new_run(folder.path().join("start"));
    fit(&settings(2), &start, false).unwrap();

    let newest = newest_checkpoint(&start).unwrap().unwrap();
    let newest = newest.file_name().unwrap();
    let metrics_bytes = fs::metadata(start.metrics()).unwrap().len();
    for name in ["model.bpk", "optimizer.bpk", "state.json", "metrics.jsonl"] {
        let run = new_run(folder.path().join(name));
        copy_folder(start.path(), run.path());
        let path = match name {
            "metrics.jsonl" => run.metrics(),
            _ => run.checkpoints().join(newest).join(name),
        };
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let mut complaints = Complaints::default();
        let fresh = fresh(&*recipe());
        let trained = fit_model(&settings(3), fresh, Some(&run), true, &mut complaints).unwrap();
        let [complaint] = complaints.0.as_slice() else {
            panic!("{name}: {:?}", complaints.0);
        };
        assert!(complaint.contains(&*path.to_string_lossy()), "{complaint}");
        assert_eq!(model_bytes(run.path(), &trained.model), expected, "{name}");
        assert_eq!(metrics(&run), metrics(&straight), "{name}");
        assert!(fs::metadata(run.metrics()).unwrap().len() > metrics_bytes);
    }
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
