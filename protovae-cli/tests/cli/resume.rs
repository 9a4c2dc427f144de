//! Runs that are killed and go on: the end is that of an uninterrupted run, bit for bit.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Place, settings};

/// 64 steps an epoch, 3 epochs, a checkpoint every 5 steps, images changed at random.
fn long_settings(loader_threads: usize) -> Value {
    let mut config = settings();
    config["augmentation"] = json!({
        "crop_padding": 2, "flip": 0.5, "jitter": {"brightness": 0.3, "contrast": 0.3},
    });
    config["training"] = json!({
        "epochs": 3, "batch_size": 4, "log_every": 8, "checkpoint_every": 5, "loader_threads": loader_threads,
    });
    config
}

/// Starts the program and kills it as soon as `moment` has come; false if it finished before.
pub fn kill_when(place: &Place, arguments: &str, mut moment: impl FnMut() -> bool) -> bool {
    let mut command = place.command(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    loop {
        if moment() {
            // Fails if the child has just ended by itself, which its status then tells.
            let _ = child.kill();
            return !child.wait().unwrap().success();
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{arguments}: {status}");
            return false;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}

pub fn checkpoints(place: &Place, start: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(place.path("run/checkpoints")) else {
        return Vec::new();
    };
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(start)).collect();
    names.sort();
    names
}

fn lines(place: &Place) -> usize {
    let text = fs::read(place.path("run/metrics.jsonl")).unwrap_or_default();
    text.iter().filter(|byte| **byte == b'\n').count()
}

/// All lines without the one part that two equal runs do not share.
pub fn timeless(place: &Place, run: &str) -> Vec<Value> {
    let mut lines = place.metrics(run);
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("timing");
    }
    lines
}

/// Trains `run` through many kills; gives how many there were.
fn train_killed(place: &Place) -> usize {
    const RESUME: &str = "train --resume run -q";
    let mut kills = 0;
    // Before the first checkpoint, as soon as there is something to resume.
    let begin = "train --config long.json --out run -q";
    kills += usize::from(kill_when(place, begin, || {
        place.path("run/metrics.jsonl").exists()
    }));
    let here = lines(place);
    kills += usize::from(kill_when(place, RESUME, || lines(place) >= here + 2));
    // While a checkpoint is being written.
    kills += usize::from(kill_when(place, RESUME, || {
        !checkpoints(place, ".writing-").is_empty()
    }));
    // Right when a checkpoint appears.
    let newest = checkpoints(place, "step-").pop();
    kills += usize::from(kill_when(place, RESUME, || {
        checkpoints(place, "step-").pop() > newest
    }));
    // What a power failure may leave: half a line, half a checkpoint, half a file.
    let mut metrics = place.bytes("run/metrics.jsonl");
    metrics.extend(b"{\"event\":\"step\",\"epo");
    place.write("run/metrics.jsonl", metrics);
    place.write("run/checkpoints/.writing-step-000000151/model.bpk", "half");
    place.write("run/.writing-a-picture.png", "half");
    // Some time after a checkpoint appeared, whatever the program does then.
    let mut state = 20_221_128u64;
    for _ in 0..3 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let delay = Duration::from_micros((state >> 33) % 15_000);
        let newest = checkpoints(place, "step-").pop();
        kills += usize::from(kill_when(place, RESUME, || {
            let appeared = checkpoints(place, "step-").pop() > newest;
            if appeared {
                std::thread::sleep(delay);
            }
            appeared
        }));
    }
    // When the second epoch's line is written, before or in its checkpoint.
    let epochs = || {
        let text = fs::read_to_string(place.path("run/metrics.jsonl")).unwrap_or_default();
        text.matches("\"event\":\"epoch\"").count()
    };
    kills += usize::from(kill_when(place, RESUME, || epochs() >= 2));
    // After the training, while the results are written; may come too late.
    kills += usize::from(kill_when(place, RESUME, || {
        place.path("run/model.safetensors").exists()
    }));
    let newest = checkpoints(place, "step-").pop().unwrap();
    let ran = place.run("train --resume run").ok();
    assert!(ran.err.contains(&newest), "it went on from there: {ran:#?}");
    kills
}

#[test]
fn a_run_killed_many_times_ends_as_an_uninterrupted_one() {
    let mut models = Vec::new();
    for loader_threads in [1, 4] {
        let place = Place::new();
        place.write("long.json", long_settings(loader_threads).to_string());
        place.run("train --config long.json --out whole -q").ok();
        let kills = train_killed(&place);
        assert!(kills >= 5, "only {kills} kills came in time");
        let model = place.bytes("whole/model.safetensors");
        assert!(
            place.bytes("run/model.safetensors") == model,
            "{loader_threads} threads: the models differ"
        );
        assert_eq!(timeless(&place, "run"), timeless(&place, "whole"));
        assert_eq!(
            place.bytes("run/config.json"),
            place.bytes("whole/config.json")
        );
        for picture in ["prototypes.png", "reconstructions.png"] {
            assert!(
                place.bytes(&format!("run/{picture}")) == place.bytes(&format!("whole/{picture}"))
            );
        }
        let left: Vec<_> = place
            .listing()
            .into_keys()
            .filter(|path| path.to_string_lossy().contains(".writing-"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        models.push(model);
    }
    assert!(
        models[0] == models[1],
        "the number of loader threads changes the model"
    );
}

#[test]
fn a_finished_run_resumes_to_itself() {
    let place = Place::with_settings();
    place.run("train --config small.json --out run -q").ok();
    let before = place.listing();
    let ran = place.run("train --resume run").ok();
    assert!(ran.err.contains("epoch 2 of 2 done"), "{ran:#?}");
    assert!(ran.out.contains("after 2 epochs"), "{ran:#?}");
    assert_eq!(place.listing(), before);
}

#[test]
fn a_finished_run_goes_on_for_more_epochs() {
    let place = Place::with_settings();
    place
        .run("train --config small.json --epochs 3 --out whole -q")
        .ok();
    place
        .run("train --config small.json --epochs 1 --out run -q")
        .ok();
    place.run("train --resume run --epochs 3 -q").ok();
    assert!(place.bytes("run/model.safetensors") == place.bytes("whole/model.safetensors"));
    assert_eq!(timeless(&place, "run"), timeless(&place, "whole"));
    assert_eq!(
        place.bytes("run/config.json"),
        place.bytes("whole/config.json")
    );
}

#[test]
fn a_run_cannot_be_resumed_to_fewer_epochs_than_it_has_done() {
    let place = Place::with_settings();
    place.run("train --config small.json --out run -q").ok();
    let before = place.listing();
    let message = place.run("train --resume run --epochs 1").fails(2);
    assert!(message.contains("--epochs 1"), "{message}");
    assert_eq!(place.listing(), before);
}

#[test]
fn what_is_no_run_cannot_be_resumed() {
    let place = Place::with_settings();
    fs::create_dir(place.path("empty")).unwrap();
    place.write("other/notes.txt", "not a run");
    let before = place.listing();
    for folder in ["empty", "other", "missing", "small.json"] {
        let message = place.run(&format!("train --resume {folder}")).fails(1);
        assert!(
            message.contains(folder) && message.contains("no run"),
            "{message}"
        );
    }
    for option in [
        "--out x",
        "--seed 3",
        "--preset mnist",
        "--set seed=1",
        "--overwrite",
        "--config small.json",
    ] {
        let message = place
            .run(&format!("train --resume empty {option}"))
            .fails_with_lines(2);
        assert!(message.contains("cannot be used with"), "{message}");
    }
    assert_eq!(place.listing(), before);
}

#[test]
fn damage_in_a_checkpoint_or_in_the_metrics_is_found() {
    let place = Place::with_settings();
    place.run("train --config small.json --out run -q").ok();
    let metrics = place.bytes("run/metrics.jsonl");
    place.write("run/metrics.jsonl", &metrics[..10]);
    let message = place.run("train --resume run --epochs 3 -q").fails(1);
    assert!(message.contains("metrics.jsonl"), "{message}");
    place.write("run/metrics.jsonl", metrics);

    let damage = |step: usize| {
        let file = format!("run/checkpoints/step-{step:09}/model.bpk");
        let mut bytes = place.bytes(&file);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        place.write(&file, bytes);
    };
    place
        .run("train --config small.json --epochs 3 --out whole -q")
        .ok();
    let whole = place.bytes("whole/model.safetensors");
    // The older checkpoint will do, and that it had to is said.
    damage(16);
    let ran = place.run("train --resume run --epochs 3").ok();
    assert!(
        ran.err.contains(
            "step-000000016/model.bpk: is not what was written there; going on from an older"
        ) && ran
            .err
            .contains("resuming from run/checkpoints/step-000000008"),
        "{}",
        ran.err
    );
    assert!(place.bytes("run/model.safetensors") == whole);

    // Without any that is whole, it is for the user to begin anew, in the way that he is told.
    damage(16);
    damage(24);
    let message = place.run("train --resume run --epochs 3 -q").fails(1);
    assert!(
        message.contains("step-000000024/model.bpk")
            && message.contains("remove run/checkpoints to train from the beginning"),
        "{message}"
    );
    fs::remove_dir_all(place.path("run/checkpoints")).unwrap();
    // A model without checkpoints might be an imported one: training would replace it.
    let message = place.run("train --resume run --epochs 3 -q").fails(2);
    assert!(message.contains("would replace the model"), "{message}");
    fs::remove_file(place.path("run/model.safetensors")).unwrap();
    place.run("train --resume run --epochs 3 -q").ok();
    assert!(place.bytes("run/model.safetensors") == whole);
}
