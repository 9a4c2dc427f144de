//! `protovae train`: what it leaves, what it repeats, what it refuses.

use std::fs;

use image::GenericImageView;
use serde_json::{Value, json};

use crate::support::{Place, settings, write_idx};

#[test]
fn a_run_leaves_every_artifact() {
    let place = Place::with_settings();
    let ran = place.run("train --config small.json --out run").ok();
    assert!(ran.out.contains("test accuracy") && ran.out.contains("model.safetensors"));
    assert!(ran.err.contains("epoch   2/2"), "{}", ran.err);

    let dimensions = |name: &str| image::open(place.path(name)).unwrap().dimensions();
    // Rows of two images of 28 pixels twice as large, with gaps of 4; a row a class.
    assert_eq!(dimensions("run/prototypes.png"), (124, 604));
    // 40 images, each beside its reconstruction, ten pictures a row.
    assert_eq!(dimensions("run/reconstructions.png"), (604, 484));

    let lines = place.metrics("run");
    let events: Vec<&str> = lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["step", "step", "epoch", "step", "step", "epoch"]);
    assert_eq!(lines[5]["train"]["samples"], 256);
    assert_eq!(lines[5]["test"]["samples"], 100);
    for term in ["prediction", "reconstruction", "kl", "orthonormality"] {
        for part in ["train", "test"] {
            let value = lines[5][part]["terms"][term].as_f64().unwrap();
            assert!(value.is_finite(), "{part} {term}");
        }
    }
    assert_eq!(
        names(&place, "run/checkpoints"),
        ["step-000000008", "step-000000016"]
    );
    assert_eq!(
        names(&place, "run"),
        [
            ".train.lock",
            "checkpoints",
            "config.json",
            "metrics.jsonl",
            "model.safetensors",
            "prototypes.png",
            "reconstructions.png",
            "strangeness.json"
        ]
    );
}

fn names(place: &Place, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(place.path(folder)).unwrap();
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

#[test]
fn the_stored_configuration_is_complete_and_repeats_the_run() {
    let place = Place::with_settings();
    place
        .run("train --config small.json --seed 5 --out first")
        .ok();
    let stored = place.json("first/config.json");
    assert_eq!(stored["seed"], 5);
    let training = json!({
        "epochs": 2, "batch_size": 32, "log_every": 4, "learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999,
        "adam_epsilon": 1e-8, "checkpoint_every": 0, "keep_checkpoints": 2, "loader_threads": 1,
    });
    assert_eq!(stored["training"], training);
    let loss = stored["model"]["loss"].as_object().unwrap();
    for key in protovae_core::loss::CONVENTION_KEYS {
        assert!(loss.contains_key(key), "{key}");
    }
    assert_eq!(loss["weights"].as_object().unwrap().len(), 4);
    assert_eq!(stored["model"]["head"]["deviation"], 1.0);

    place
        .run("train --config first/config.json --out second")
        .ok();
    assert_eq!(
        place.bytes("first/config.json"),
        place.bytes("second/config.json")
    );
    assert!(place.bytes("first/model.safetensors") == place.bytes("second/model.safetensors"));
    assert!(place.bytes("first/prototypes.png") == place.bytes("second/prototypes.png"));

    place
        .run("train --config first/config.json --seed 6 --out third")
        .ok();
    assert!(place.bytes("first/model.safetensors") != place.bytes("third/model.safetensors"));
}

#[test]
fn an_existing_run_is_replaced_only_on_demand() {
    let place = Place::with_settings();
    place
        .run("train --config small.json --epochs 1 --out run")
        .ok();
    place.write("run/note.txt", "of the old run");
    let before = place.listing();
    let message = place
        .run("train --config small.json --epochs 1 --out run")
        .fails(2);
    assert!(
        message.contains("--overwrite") && message.contains("--resume"),
        "{message}"
    );
    assert_eq!(place.listing(), before);

    let overwrite = "train --config small.json --epochs 1 --seed 3 --out run --overwrite";
    // What no run has is not the program's to remove.
    let message = place.run(overwrite).fails(2);
    assert!(message.contains("note.txt"), "{message}");
    assert_eq!(place.listing(), before);

    fs::remove_file(place.path("run/note.txt")).unwrap();
    place.write("run/report.html", "of the old run");
    place.run(overwrite).ok();
    assert_eq!(place.json("run/config.json")["seed"], 3);
    assert!(!place.path("run/report.html").exists());
}

#[test]
fn a_folder_that_is_no_run_is_never_replaced() {
    let place = Place::with_settings();
    place.write("photos/cat.txt", "mine");
    let before = place.listing();
    for out in ["photos --overwrite", "photos", "small.json --overwrite"] {
        let message = place
            .run(&format!("train --config small.json --out {out}"))
            .fails(2);
        assert!(message.contains("choose another --out"), "{message}");
    }
    assert_eq!(place.listing(), before);
    fs::create_dir(place.path("empty")).unwrap();
    place
        .run("train --config small.json --epochs 1 --out empty")
        .ok();
    assert!(place.path("empty/model.safetensors").is_file());
}

#[test]
fn a_sanity_check_leaves_nothing() {
    let place = Place::with_settings();
    fs::create_dir(place.path("tmp")).unwrap();
    let before = place.listing();
    let mut command = place.command("train --config small.json --sanity-check");
    command
        .env("TMPDIR", place.path("tmp"))
        .env("TEMP", place.path("tmp"))
        .env("TMP", place.path("tmp"));
    let ran = crate::support::finish(&mut command, "sanity check").ok();
    assert!(ran.out.contains("sanity check passed"), "{ran:#?}");
    assert_eq!(place.listing(), before);
}

#[test]
fn standard_output_is_json_alone_on_demand() {
    let place = Place::with_settings();
    let ran = place
        .run("train --config small.json --out run --json -v")
        .ok();
    let objects = ran.objects();
    let (done, lines) = objects.split_last().unwrap();
    assert_eq!(lines, place.metrics("run"));
    assert_eq!(done["event"], "done");
    assert_eq!(done["test"], lines[5]["test"]);
    assert_eq!(done["epochs"], 2);
}

#[test]
fn quiet_says_nothing() {
    let place = Place::with_settings();
    let ran = place.run("train --config small.json --out run -q").ok();
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    let ran = place
        .run("train --config small.json --out other -q --json")
        .ok();
    assert_eq!(ran.err, "");
    assert_eq!(ran.objects().len(), 7);
}

#[test]
fn the_defaults_need_no_argument() {
    let place = Place::new();
    // As `protovae train`, with less data and a smaller network so that it takes seconds.
    let mut arguments =
        "train --epochs 1 --set data.train_limit=40 --set data.test_limit=20".to_string();
    arguments.push_str(" --set model.encoder.widths=[2,2] --set training.max_batches=2");
    place.run(&arguments).ok();
    assert!(place.path("runs/mnist-5k/model.safetensors").is_file());
    let lines = place.metrics("runs/mnist-5k");
    assert_eq!(lines.last().unwrap()["step"], 2);
}

/// CIFAR-10's format with `count` images in each of its files: every class has a colour of its own.
fn write_cifar(place: &Place, folder: &str, count: usize) {
    let record = |number: usize| {
        let label = number % 10;
        let channel = |channel: usize| vec![(label * 25 + channel * 40 + number) as u8; 1024];
        let mut bytes = vec![label as u8];
        bytes.extend((0..3).flat_map(channel));
        bytes
    };
    let bytes: Vec<u8> = (0..count).flat_map(record).collect();
    let parts = (1..=5).map(|number| format!("data_batch_{number}.bin"));
    for part in parts.chain(["test_batch.bin".to_string()]) {
        place.write(&format!("{folder}/{part}"), &bytes);
    }
}

#[test]
fn colour_images_train_and_are_drawn_in_colour() {
    let place = Place::new();
    write_cifar(&place, "cifar", 20);
    let mut config = settings();
    config["data"] = json!({"type": "cifar-10", "path": "cifar"});
    config["model"]["decoder"]["start"] = json!([4, 16, 16]);
    place.write("colour.json", config.to_string());
    place.run("train --config colour.json --out run").ok();
    let picture = image::open(place.path("run/prototypes.png")).unwrap();
    assert_eq!(picture.color(), image::ColorType::Rgb8);
    let found = place.run("eval run --json").ok().object();
    assert_eq!(found["samples"], 20);
    image::RgbImage::from_pixel(50, 40, image::Rgb([200, 30, 10]))
        .save(place.path("red.png"))
        .unwrap();
    let found = place.run("predict run red.png --json").ok().object();
    assert_eq!(found["probabilities"].as_array().unwrap().len(), 10);
}

#[test]
fn files_in_mnists_format_train() {
    let place = Place::with_settings();
    write_idx(&place, "data/mnist", 30);
    let arguments =
        "train --config small.json --set data.type=mnist --data-dir data --out run --json";
    let done: Value = place.run(arguments).ok().objects().pop().unwrap();
    assert_eq!(done["test"]["samples"], 30);
    assert_eq!(
        place.run("eval run --split train --json").ok().object()["samples"],
        30
    );
}

#[test]
fn a_black_box_has_no_prototypes_and_says_so() {
    let place = Place::with_settings();
    let mut config = settings();
    config["model"] = json!({
        "type": "black-box",
        "latent_dimensions": 8,
        "encoder": {"type": "conv-pool", "widths": [4]},
        "head": {"type": "linear"},
    });
    place.write("box.json", config.to_string());
    place
        .run("train --config box.json --epochs 1 --out run")
        .ok();
    assert_eq!(
        names(&place, "run"),
        [
            ".train.lock",
            "checkpoints",
            "config.json",
            "metrics.jsonl",
            "model.safetensors"
        ]
    );
    let message = place.run("prototypes run").fails(1);
    assert!(message.contains("prototypes"), "{message}");
    let found = place.run("eval run --json").ok().object();
    assert_eq!(found["terms"].as_object().unwrap().len(), 1);
}
