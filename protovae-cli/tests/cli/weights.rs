//! `protovae import`, `protovae export` and `train --init`.

use std::collections::BTreeMap;
use std::fs;

use image::GrayImage;
use protovae_core::train::read_card;
use serde_json::{Value, json};

use crate::support::{Place, bar, settings};

const TRAIN: &str = "train --config small.json -q";

fn trained() -> Place {
    let place = Place::with_settings();
    place.run(&format!("{TRAIN} --out run")).ok();
    GrayImage::from_raw(28, 28, bar(4))
        .unwrap()
        .save(place.path("bar.png"))
        .unwrap();
    place
}

/// Header and tensors of a safetensors file.
fn safetensors(place: &Place, name: &str) -> (Value, BTreeMap<String, Vec<u8>>) {
    let bytes = place.bytes(name);
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let data = &bytes[8 + length..];
    let tensors = header.as_object().unwrap().iter();
    let tensors = tensors.filter(|(name, _)| *name != "__metadata__");
    let tensors = tensors.map(|(name, entry)| {
        let offset = |place: usize| entry["data_offsets"][place].as_u64().unwrap() as usize;
        (name.clone(), data[offset(0)..offset(1)].to_vec())
    });
    (header.clone(), tensors.collect())
}

/// Writes a safetensors file without some tensors and with others.
fn rewrite(place: &Place, from: &str, to: &str, without: &[&str], with: &[&str]) {
    let (header, tensors) = safetensors(place, from);
    let (mut entries, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, bytes) in &tensors {
        if without.contains(&name.as_str()) {
            continue;
        }
        let offsets = [data.len(), data.len() + bytes.len()];
        entries.insert(
            name.clone(),
            json!({"dtype": "F32", "shape": header[name]["shape"], "data_offsets": offsets}),
        );
        data.extend(bytes);
    }
    for name in with {
        let offsets = [data.len(), data.len() + 4];
        entries.insert(
            (*name).to_string(),
            json!({"dtype": "F32", "shape": [1], "data_offsets": offsets}),
        );
        data.extend([0; 4]);
    }
    let header = Value::Object(entries).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.extend(data);
    place.write(to, bytes);
}

/// What two runs' models say of the test set and of a picture.
fn judged(place: &Place, run: &str) -> (Value, Value) {
    let found = place.run(&format!("eval {run} --json")).ok().object();
    let keep = ["accuracy", "loss", "terms", "confusion", "reported_as"];
    let evaluated = keep.map(|key| found[key].clone());
    let predicted = place.run(&format!("predict {run} bar.png --json")).ok();
    (json!(evaluated), predicted.object())
}

#[test]
fn an_export_imports_as_what_it_was() {
    let place = trained();
    let before = judged(&place, "run");
    for layout in ["pytorch", "reference2022"] {
        let said = place
            .run(&format!("export run --layout {layout} --json"))
            .ok();
        let file = format!("run/model-{layout}.safetensors");
        assert_eq!(
            (
                said.object()["file"].clone(),
                said.object()["layout"].clone()
            ),
            (json!(file), json!(layout))
        );
        // By what the file says of itself.
        let out = format!("own-{layout}");
        let said = place.run(&format!("import {file} --out {out} --json")).ok();
        let said = said.object();
        assert_eq!(said["kept"], json!([]));
        assert_eq!(judged(&place, &out), before, "{layout}");
        // Its accuracy is measured, since no epoch of a run says it.
        let compared = place
            .run(&format!("compare run {out} --images 0 --json"))
            .ok()
            .object();
        let accuracies = compared["runs"].as_array().unwrap().iter();
        let accuracies: Vec<f64> = accuracies
            .map(|run| run["figures"]["accuracy"].as_f64().unwrap())
            .collect();
        assert_eq!(accuracies[0], accuracies[1]);
        let (_, ours) = safetensors(&place, "run/model.safetensors");
        let (_, theirs) = safetensors(&place, &format!("{out}/model.safetensors"));
        assert!(ours == theirs, "{layout}");
        let card = read_card(&place.path(&format!("{out}/model.safetensors"))).unwrap();
        let original = read_card(&place.path("run/model.safetensors")).unwrap();
        let origin = card.initial_weights.clone().unwrap();
        assert_eq!(
            (
                origin.file.as_str(),
                origin.layout.as_str(),
                origin.part.as_str()
            ),
            (&*format!("model-{layout}.safetensors"), layout, "all")
        );
        assert_eq!(json!(origin.sha256), said["sha256"]);
        let mut card = card;
        card.initial_weights = None;
        assert_eq!(card, original);
        // As a stranger's file, with a configuration.
        rewrite(&place, &file, "strange.safetensors", &[], &[]);
        place
            .run("import strange.safetensors --config small.json --out strange --overwrite")
            .ok();
        assert_eq!(judged(&place, "strange"), before, "{layout}");
        let card = read_card(&place.path("strange/model.safetensors")).unwrap();
        assert_eq!((card.epochs, card.data_digest.as_str()), (0, ""));
        assert_eq!(card.class_names, original.class_names);
    }
    // The other commands take an imported run as well.
    place.run("prototypes own-pytorch").ok();
    place
        .run("explain own-pytorch bar.png --prototypes top1")
        .ok();
    place
        .run("report own-pytorch --images 0 --predictions 2")
        .ok();
    place
        .run("measure own-pytorch --images 4 --measure diversity --json")
        .ok();
    let said = place.run("eval strange").ok();
    assert!(!said.err.contains("not the data"), "{}", said.err);
}

#[test]
fn exports_do_not_replace_files_unasked() {
    let place = trained();
    place.write("there.safetensors", "something");
    let message = place.run("export run --out there.safetensors").fails(2);
    assert!(message.contains("--overwrite"), "{message}");
    assert_eq!(place.bytes("there.safetensors"), b"something");
    place
        .run("export run --out there.safetensors --overwrite")
        .ok();
    let once = place.bytes("there.safetensors");
    // A model file alone says nothing of data, but is written all the same.
    place.write("alone.safetensors", place.bytes("run/model.safetensors"));
    place
        .run("export alone.safetensors --out alone-out.safetensors")
        .ok();
    let (_, tensors) = safetensors(&place, "there.safetensors");
    let (_, alone) = safetensors(&place, "alone-out.safetensors");
    assert!(tensors == alone);
    place
        .run("export run --out there.safetensors --overwrite")
        .ok();
    assert!(place.bytes("there.safetensors") == once, "the same bytes");
    let message = place
        .run("export run --layout torchvision --out t.safetensors")
        .fails(2);
    assert!(message.contains("ResNet-18"), "{message}");
    place.run("export run --layout protovae").ok();
    let (_, own) = safetensors(&place, "run/model-f32.safetensors");
    let (_, run) = safetensors(&place, "run/model.safetensors");
    assert!(own == run);
    place.run("export run --format onnx").fails_with_lines(2);
    assert!(!place.path("t.safetensors").exists());
}

#[test]
fn what_does_not_fit_is_listed_and_nothing_is_written() {
    let place = trained();
    place
        .run("export run --layout reference2022 --out good.safetensors")
        .ok();
    let (less, more) = (
        ["features.0.bias", "prototype_vectors"],
        ["extra", "features.9.x"],
    );
    rewrite(&place, "good.safetensors", "bad.safetensors", &less, &more);
    rewrite(&place, "good.safetensors", "plain.safetensors", &[], &[]);
    let good = place.bytes("good.safetensors");
    place.write("cut.safetensors", &good[..good.len() - 9]);
    place.write("page.pth", "<html>404</html>");
    let before = place.listing();
    for train in ["import", "train --init"] {
        let refused = |file: &str, options: &str, code: i32| {
            let options = match train {
                "import" => format!("import {file} {options} --out new"),
                _ => format!("train --init {file} {options} --out new"),
            };
            let message = place.run(&options).fails_with_lines(code);
            assert_eq!(place.listing(), before, "{options}");
            message
        };
        let message = refused("bad.safetensors", "--config small.json", 1);
        for name in less.iter().chain(&more) {
            assert!(message.contains(name), "{message}");
        }
        let message = refused(
            "plain.safetensors",
            "--config small.json --set model.latent_dimensions=9",
            1,
        );
        assert!(
            message.contains("misshapen last_layer")
                || message.contains("misshapen prototype_vectors")
        );
        for file in ["cut.safetensors", "page.pth"] {
            let message = refused(file, "--config small.json", 1);
            assert!(
                message.contains(file) && message.contains("torch.load"),
                "{message}"
            );
        }
        refused("missing.pth", "--config small.json", 1);
        let black_box = "--config small.json --set model.type=black-box --set model.encoder={\"type\":\"conv-pool\",\"widths\":[4]} \
                         --set model.head.type=linear";
        refused("plain.safetensors", black_box, 2);
    }
    let message = place.run("import plain.safetensors --out new").fails(2);
    assert!(message.contains("--preset"), "{message}");
    let message = place
        .run("import plain.safetensors --config small.json --out run")
        .fails(2);
    assert!(message.contains("--overwrite"), "{message}");
    assert_eq!(place.listing(), before);
}

#[test]
fn a_model_is_replaced_by_nothing_that_is_made_from_it() {
    let place = trained();
    let model = place.bytes("run/model.safetensors");
    for command in [
        "export run --out run/model.safetensors --overwrite",
        "export run --out ./run/../run/model.safetensors --layout protovae --overwrite",
        "prototypes run --out run/model.safetensors",
    ] {
        let message = place.run(command).fails(2);
        assert!(message.contains("the model itself"), "{message}");
    }
    // Training from the beginning is not what was asked for by going on.
    place.run("export run").ok();
    place
        .run("import run/model-pytorch.safetensors --out imported")
        .ok();
    let imported = place.bytes("imported/model.safetensors");
    let message = place.run("train --resume imported --epochs 2").fails(2);
    assert!(message.contains("--init imported"), "{message}");
    assert!(place.bytes("imported/model.safetensors") == imported);
    fs::remove_dir_all(place.path("run/checkpoints")).unwrap();
    place.run("train --resume run --epochs 3").fails(2);
    assert!(place.bytes("run/model.safetensors") == model);
    // A run that has neither has only begun.
    fs::remove_file(place.path("run/model.safetensors")).unwrap();
    let message = place.run("eval run").fails(1);
    assert!(message.contains("train --resume run"), "{message}");
    let ran = place.run("train --resume run").ok();
    assert!(ran.err.contains("begins anew"), "{}", ran.err);
    assert!(place.bytes("run/model.safetensors") == model);
}

#[test]
fn a_run_from_initial_weights_resumes_exactly_and_says_where_they_are_from() {
    let place = trained();
    let start = "train --config small.json -q --init run";
    place.run(&format!("{start} --out whole")).ok();
    place.run(&format!("{start} --epochs 1 --out parts")).ok();
    // From the checkpoint on, the file is not needed.
    fs::rename(place.path("run"), place.path("elsewhere")).unwrap();
    place.run("train --resume parts --epochs 2 -q").ok();
    assert!(place.bytes("whole/model.safetensors") == place.bytes("parts/model.safetensors"));
    place.run(&format!("{TRAIN} --out fresh")).ok();
    let first = |run: &str| place.metrics(run)[0]["figures"]["loss"].as_f64().unwrap();
    assert!(
        first("whole") < first("fresh"),
        "it starts from a trained model"
    );

    let stored = place.json("whole/config.json");
    let origin = read_card(&place.path("whole/model.safetensors"))
        .unwrap()
        .initial_weights
        .unwrap();
    assert_eq!(
        stored["initial_weights"],
        json!({
            "path": "run/model.safetensors", "layout": "protovae", "part": "all", "sha256": origin.sha256,
        })
    );
    assert_eq!(origin.file, "model.safetensors");

    // The stored configuration repeats the run while the file is what it was, and refuses another one.
    fs::rename(place.path("elsewhere"), place.path("run")).unwrap();
    place
        .run("train --config whole/config.json -q --out again")
        .ok();
    assert!(place.bytes("whole/model.safetensors") == place.bytes("again/model.safetensors"));
    place.write(
        "run/model.safetensors",
        place.bytes("whole/model.safetensors"),
    );
    let message = place
        .run("train --config whole/config.json -q --out other")
        .fails(2);
    assert!(message.contains("initial_weights.sha256"), "{message}");
    // `--init` takes the place of the stored file, digest and all, and `--set` says what of it is taken.
    place
        .run("train --config whole/config.json -q --init run --set initial_weights.part=encoder --out part")
        .ok();
    let taken = &place.json("part/config.json")["initial_weights"];
    assert_eq!(taken["part"], "encoder");
    assert_ne!(taken["sha256"], stored["initial_weights"]["sha256"]);
    let message = place
        .run("train --config small.json --set initial_weights.pth=x --out other")
        .fails(2);
    assert!(
        message.contains("initial_weights.pth") && message.contains("`path`"),
        "{message}"
    );
    assert!(!place.path("other").exists());
    place
        .run("config check --config small.json --set initial_weights.path=fresh/model.safetensors")
        .ok();
}

#[test]
fn a_part_of_another_model_may_be_the_start() {
    let place = trained();
    let other =
        "--set model.prototypes_per_class=3 --set initial_weights.path=run/model.safetensors";
    let message = place
        .run(&format!("{TRAIN} {other} --out part"))
        .fails_with_lines(1);
    assert!(message.contains("head.prototypes"), "{message}");
    let said = place
        .run(&format!(
            "train --config small.json {other} --set initial_weights.part=encoder --sanity-check"
        ))
        .ok();
    assert!(said.err.contains("(encoder)"), "{}", said.err);
}

#[test]
fn torchvisions_backbone_goes_in_and_out() {
    let place = Place::new();
    let mut config = settings();
    config["model"]["encoder"] = json!({"type": "resnet18"});
    config["data"] = json!({"type": "mnist-5k", "train_limit": 32, "test_limit": 10});
    config["training"] = json!({"epochs": 1, "batch_size": 32});
    place.write("resnet.json", config.to_string());
    place
        .run("train --config resnet.json --seed 7 --out run -q")
        .ok();
    place
        .run("export run --layout torchvision --out backbone.safetensors")
        .ok();
    rewrite(
        &place,
        "backbone.safetensors",
        "theirs.safetensors",
        &[],
        &["fc.bias", "bn1.num_batches_tracked"],
    );
    let said = place
        .run("import theirs.safetensors --config resnet.json --out imported --json")
        .ok()
        .object();
    assert_eq!(
        (said["layout"].clone(), said["loaded"].clone()),
        (json!("torchvision"), json!(100))
    );
    assert_eq!(
        said["left_out"],
        json!(["bn1.num_batches_tracked", "fc.bias"])
    );
    let kept = said["kept"].as_array().unwrap();
    assert!(kept.iter().all(|path| {
        let path = path.as_str().unwrap();
        !path.starts_with("encoder.") || path.starts_with("encoder.tail.")
    }));
    let (_, trained) = safetensors(&place, "run/model.safetensors");
    let (_, imported) = safetensors(&place, "imported/model.safetensors");
    for (name, values) in &imported {
        let backbone = name.starts_with("encoder.") && !name.starts_with("encoder.tail.");
        assert_eq!(*values == trained[name], backbone, "{name}");
    }
}
