//! Wrong command lines, configurations and data: one message that names the fault, an exit code, and nothing written.

use std::fs;

use crate::support::{Place, write_idx};

/// Runs `train` with `options`; demands the exit code, all of `words` in its one-line message, and an untouched folder.
fn refused(place: &Place, options: &str, code: i32, words: &[&str]) {
    let before = place.listing();
    let message = place.run(&format!("train {options}")).fails(code);
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
    assert_eq!(place.listing(), before, "{options}");
}

#[test]
fn unknown_keys_are_named_in_full_with_the_nearest_right_one() {
    let place = Place::with_settings();
    for (set, path, right) in [
        ("model.los.x=1", ": model.los: ", "did you mean `loss`"),
        (
            "model.encoder.widhts=[3]",
            ": model.encoder.widhts: ",
            "did you mean `widths`",
        ),
        (
            "model.loss.weights.reconstuction=2",
            ": model.loss.weights.reconstuction: ",
            "did you mean `reconstruction`",
        ),
        (
            "model.decoder.stages=[{\"transpos\":4}]",
            ": model.decoder.stages.0.transpos: ",
            "did you mean `transpose`",
        ),
        (
            "training.epoch=3",
            ": training.epoch: ",
            "did you mean `epochs`",
        ),
        (
            "data.train_limt=3",
            ": data.train_limt: ",
            "did you mean `train_limit`",
        ),
        ("trainig.epochs=3", ": trainig: ", "did you mean `training`"),
        // Keys that are right elsewhere.
        (
            "training.type=3",
            ": training.type: ",
            "unknown field `type`",
        ),
        (
            "model.loss.type=x",
            ": model.loss.type: ",
            "unknown field `type`",
        ),
        (
            "model.head.seed=3",
            ": model.head.seed: ",
            "unknown field `seed`",
        ),
        (
            "training.seed=3",
            ": training.seed: ",
            "unknown field `seed`",
        ),
    ] {
        refused(
            &place,
            &format!("--config small.json --set {set}"),
            2,
            &["--set", path, right],
        );
    }
}

#[test]
fn unknown_plugins_and_choices_list_the_known_ones() {
    let place = Place::with_settings();
    for (set, words) in [
        (
            "model.encoder.type=conv-pol",
            [
                ": model.encoder.type: ",
                "`conv-stride`",
                "did you mean `conv-pool`",
            ],
        ),
        (
            "model.decoder.type=x",
            [": model.decoder.type: ", "`x`", "`conv-transpose`"],
        ),
        (
            "model.type=protvae",
            [": model.type: ", "`black-box`", "did you mean `protovae`"],
        ),
        (
            "data.type=mnis-5k",
            [": data.type: ", "`cifar-10`", "did you mean `mnist-5k`"],
        ),
        (
            "model.loss.convention=papr",
            [
                ": model.loss.convention: ",
                "`reference2022`",
                "did you mean `paper`",
            ],
        ),
    ] {
        refused(
            &place,
            &format!("--config small.json --set {set}"),
            2,
            &words,
        );
    }
    refused(
        &place,
        "--preset mnst",
        2,
        &["did you mean `mnist`", "cifar-10", "mnist-5k"],
    );
}

#[test]
fn wrong_types_are_named_in_full() {
    let place = Place::with_settings();
    for (set, words) in [
        ("training.epochs=abc", [": training.epochs: ", "\"abc\""]),
        (
            "training.batch_size=-4",
            [": training.batch_size: ", "`-4`"],
        ),
        (
            "model.latent_dimensions=abc",
            [": model.latent_dimensions: ", "\"abc\""],
        ),
        (
            "model.loss.weights.kl=true",
            [": model.loss.weights.kl: ", "`true`"],
        ),
        (
            "model.encoder.widths=4",
            [": model.encoder.widths: ", "`4`"],
        ),
        (
            "model.encoder.widths=[4,2.5]",
            [": model.encoder.widths.1: ", "`2.5`"],
        ),
        ("model.encoder=null", [": model.encoder: ", "null"]),
        ("data.train_limit={}", [": data.train_limit: ", "map"]),
        ("model=3", [": model: ", "`3`"]),
        ("seed=-1", [": seed: ", "`-1`"]),
    ] {
        refused(
            &place,
            &format!("--config small.json --set {set}"),
            2,
            &words,
        );
    }
}

#[test]
fn values_out_of_range_are_named() {
    let place = Place::with_settings();
    for (set, words) in [
        ("model.prototypes=52", ["model.prototypes: ", "50 and 60"]),
        (
            "model.prototypes_per_class=0",
            ["model.prototypes_per_class: ", "between 1"],
        ),
        (
            "model.latent_dimensions=0",
            ["model.latent_dimensions: ", "0"],
        ),
        (
            "model.encoder.widths=[4,4,4,4,4,4]",
            ["model.encoder.widths: ", ""],
        ),
        (
            "model.decoder.start=[4,7,7]",
            ["model.decoder.stages: ", "14×14"],
        ),
        ("model.head.type=linear", ["model.head.type: ", "black-box"]),
        (
            "model.loss.weights.kl=-1",
            ["model.loss.weights.kl: ", "-1"],
        ),
        ("training.epochs=0", ["training.epochs: ", "0"]),
        (
            "training.learning_rate=-1",
            ["training.learning_rate: ", "-1"],
        ),
        ("training.beta_1=1", ["training.beta_1: ", "1"]),
        (
            "training.loader_threads=5000",
            ["training.loader_threads: ", "1024"],
        ),
        ("data.train_limit=0", ["train_limit", "0"]),
    ] {
        refused(
            &place,
            &format!("--config small.json --set {set}"),
            2,
            &words,
        );
    }
}

#[test]
fn wrong_command_lines_are_refused() {
    let place = Place::with_settings();
    refused(
        &place,
        "--config small.json --set model",
        2,
        &["--set model", "KEY=VALUE"],
    );
    refused(&place, "--config small.json --set a..b=1", 2, &["a..b"]);
    refused(&place, "--config small.json --threads 0", 2, &["--threads"]);
    refused(&place, "--config absent.json", 1, &["absent.json"]);
    place.write("broken.json", "{\"data\": ");
    refused(
        &place,
        "--config broken.json",
        2,
        &["broken.json", "line 1"],
    );
    place.write("list.json", "[1]");
    refused(&place, "--config list.json", 2, &["list.json", "object"]);
    place.write("half.json", "{\"data\": {\"type\": \"mnist-5k\"}}");
    refused(
        &place,
        "--config half.json",
        2,
        &["half.json", "missing field `model`"],
    );

    let before = place.listing();
    for arguments in [
        "trian",
        "train --epochs many",
        "train --no-such-option",
        "eval",
        "predict run",
        "--device cpu",
    ] {
        let message = place.run(arguments).fails_with_lines(2);
        assert!(message.contains("--help"), "{message}");
    }
    assert_eq!(place.listing(), before);
}

#[test]
fn unknown_devices_list_the_known_ones() {
    let place = Place::with_settings();
    let before = place.listing();
    for device in ["gpu", "cuda:x", "cpu:1"] {
        let message = place
            .run(&format!("train --config small.json --device {device}"))
            .fails_with_lines(2);
        assert!(
            message.contains("libtorch:cuda[:N]") && message.contains(device),
            "{message}"
        );
    }
    assert_eq!(place.listing(), before);
}

#[cfg(not(any(feature = "cuda", feature = "libtorch", feature = "wgpu")))]
#[test]
fn a_device_that_is_not_compiled_in_names_its_feature() {
    let place = Place::with_settings();
    for (device, feature) in [
        ("cuda", "cuda"),
        ("cuda:1", "cuda"),
        ("libtorch", "libtorch"),
        ("wgpu", "wgpu"),
    ] {
        let words = [device, &format!("--features {feature}")];
        refused(
            &place,
            &format!("--config small.json --device {device}"),
            2,
            &words,
        );
    }
    let message = place.run("eval run --device cuda").fails(2);
    assert!(message.contains("--features cuda"), "{message}");
}

#[test]
fn missing_data_say_what_and_where() {
    let place = Place::with_settings();
    fs::create_dir(place.path("nothing")).unwrap();
    let before = place.listing();
    for set in ["mnist", "fashion-mnist", "cifar-10"] {
        let ran = place.run(&format!("train --preset {set} --set data.path=nothing"));
        let message = ran.fails_with_lines(1);
        assert!(
            message.contains(set) && message.contains("nothing") && message.contains("--data-dir"),
            "{message}"
        );
    }
    let message = place
        .run("train --preset mnist --data-dir nothing")
        .fails_with_lines(1);
    assert!(message.contains("train-images-idx3-ubyte"), "{message}");
    assert_eq!(place.listing(), before);
    for set in ["svhn", "quickdraw"] {
        refused(&place, &format!("--preset {set}"), 1, &[set, "later"]);
    }
}

#[test]
fn damaged_data_are_found_before_anything_is_written() {
    let place = Place::with_settings();
    let options = "--config small.json --set data.type=mnist --set data.path=data --out run";
    write_idx(&place, "data", 30);
    let images = place.bytes("data/train-images-idx3-ubyte");
    place.write(
        "data/train-images-idx3-ubyte",
        &images[..images.len() - 100],
    );
    refused(
        &place,
        options,
        1,
        &["train-images-idx3-ubyte", "truncated"],
    );
    place.write("data/train-images-idx3-ubyte", &images[..9]);
    refused(
        &place,
        options,
        1,
        &["train-images-idx3-ubyte", "truncated"],
    );
    place.write("data/train-images-idx3-ubyte", b"GIF89a is something else");
    refused(
        &place,
        options,
        1,
        &["train-images-idx3-ubyte", "0x00000803"],
    );
    place.write("data/train-images-idx3-ubyte", &images);

    let mut labels = place.bytes("data/t10k-labels-idx1-ubyte");
    *labels.last_mut().unwrap() = 10;
    place.write("data/t10k-labels-idx1-ubyte", &labels);
    refused(
        &place,
        options,
        1,
        &["t10k-labels-idx1-ubyte", "label 10", "image 29"],
    );
}

#[test]
fn a_loss_that_is_no_longer_finite_stops_the_run() {
    let place = Place::with_settings();
    let set = "--set training.learning_rate=1e30 --set training.log_every=1";
    let ran = place.run(&format!("train --config small.json {set} --out run -q"));
    let message = ran.fails(1);
    for word in [
        "no longer finite",
        "epoch 1",
        "step",
        "prediction",
        "no checkpoint yet",
        "learning_rate",
    ] {
        assert!(message.contains(word), "{message}");
    }
    assert!(!place.path("run/model.safetensors").exists());
}
