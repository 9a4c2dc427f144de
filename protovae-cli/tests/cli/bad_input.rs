//! Wrong command lines, devices and data: one message that names the fault, an exit code, and nothing written.

use std::fs;

use crate::errors::refused;
use crate::support::{Place, write_idx};

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
    refused(&place, "--config absent.json", 2, &["absent.json"]);
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
    for set in [
        "mnist",
        "fashion-mnist",
        "cifar-10",
        "svhn",
        "quickdraw",
        "celeba",
    ] {
        let ran = place.run(&format!("train --preset {set} --set data.path=nothing"));
        let message = ran.fails_with_lines(1);
        assert!(
            message.contains(set) && message.contains("nothing") && message.contains("--data-dir"),
            "{message}"
        );
        assert!(
            message.contains(&format!("`protovae data fetch {set}`")),
            "{message}"
        );
    }
    let message = place
        .run("train --preset mnist --data-dir nothing")
        .fails_with_lines(1);
    assert!(message.contains("train-images-idx3-ubyte"), "{message}");
    assert_eq!(place.listing(), before);
    refused(&place, "--preset image-folder", 2, &["`path`"]);
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
