//! `protovae eval`, `predict`, `prototypes`, `config` and `completions`.

use std::fs;

use image::GenericImageView;
use serde_json::Value;

use crate::support::{Place, bar, settings};

fn trained() -> Place {
    let place = Place::with_settings();
    place.run("train --config small.json --out run -q").ok();
    place
}

#[test]
fn eval_repeats_the_last_test_figures_from_the_file() {
    let place = trained();
    let before = place.listing();
    let found = place.run("eval run --json").ok().object();
    let last = place.metrics("run").pop().unwrap();
    for key in ["samples", "accuracy", "loss", "terms"] {
        assert_eq!(found[key], last["test"][key], "{key}");
    }
    assert_eq!(found["prototypes"], last["prototypes"]);
    let mut terms: Vec<&String> = found["terms"].as_object().unwrap().keys().collect();
    terms.sort();
    assert_eq!(
        terms,
        ["kl", "orthonormality", "prediction", "reconstruction"]
    );
    let confusion = found["confusion"].as_array().unwrap();
    let count = |row: &Value| {
        row.as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_u64().unwrap())
            .sum::<u64>()
    };
    assert!(
        confusion.iter().all(|row| count(row) == 10),
        "ten test images a class"
    );
    let right: u64 = (0..10)
        .map(|class| confusion[class][class].as_u64().unwrap())
        .sum();
    assert_eq!(right as f64 / 100.0, found["accuracy"].as_f64().unwrap());

    let text = place.run("eval run").ok().out;
    for word in [
        "accuracy",
        "prediction",
        "reconstruction",
        "kl",
        "orthonormality",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let train = place.run("eval run --split train --json").ok().object();
    assert_eq!(
        (train["samples"].clone(), train["split"].clone()),
        (256.into(), "train".into())
    );
    assert_eq!(place.listing(), before, "eval writes nothing");
}

#[test]
fn predict_reads_png_and_jpeg_and_names_the_nearest_prototypes() {
    let place = trained();
    let grey = image::GrayImage::from_raw(28, 28, bar(4)).unwrap();
    grey.save(place.path("bar.png")).unwrap();
    let large = image::imageops::resize(&grey, 90, 70, image::imageops::FilterType::Nearest);
    image::DynamicImage::from(large)
        .to_rgb8()
        .save(place.path("bar.jpg"))
        .unwrap();

    let ran = place
        .run("predict run bar.png bar.jpg run/prototypes.png --json")
        .ok();
    assert_eq!(ran.err, "");
    let found = ran.objects();
    assert_eq!(found.len(), 3);
    for object in &found {
        let probabilities: Vec<f64> = object["probabilities"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p.as_f64().unwrap())
            .collect();
        assert_eq!(probabilities.len(), 10);
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5);
        let class = object["class_index"].as_u64().unwrap() as usize;
        let probability = object["probability"].as_f64().unwrap();
        assert_eq!(probability, probabilities[class]);
        assert!(probabilities.iter().all(|other| *other <= probability));
        assert_eq!(object["class"], class.to_string());
        let nearest = object["prototypes"].as_array().unwrap();
        assert_eq!(nearest.len(), 3);
        let similarities: Vec<f64> = nearest
            .iter()
            .map(|p| p["similarity"].as_f64().unwrap())
            .collect();
        assert!(similarities.is_sorted_by(|a, b| a >= b) && similarities[2] > 0.0);
        assert!(nearest.iter().all(|p| p["prototype"].as_u64().unwrap() < 2));
    }

    let text = place
        .run("predict run/model.safetensors bar.png --prototypes 1")
        .ok()
        .out;
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.starts_with("bar.png: ")
            && text.contains("probability")
            && text.contains("similarity")
    );
    let inverted = place
        .run("predict run bar.png --invert --json")
        .ok()
        .object();
    assert_ne!(inverted["probabilities"], found[0]["probabilities"]);
}

#[test]
fn an_unreadable_picture_does_not_hide_the_others() {
    let place = trained();
    image::GrayImage::from_raw(28, 28, bar(4))
        .unwrap()
        .save(place.path("bar.png"))
        .unwrap();
    let whole = place.bytes("bar.png");
    place.write("cut.png", &whole[..whole.len() / 2]);
    place.write("text.jpg", "no picture");
    let ran = place.run("predict run text.jpg bar.png cut.png missing.png bar.png");
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert_eq!(ran.out.matches("bar.png: ").count(), 2, "{ran:#?}");
    for name in ["text.jpg", "cut.png", "missing.png", "3 of 5 images"] {
        let lines = ran
            .err
            .lines()
            .filter(|line| line.starts_with("error: ") && line.contains(name));
        assert_eq!(lines.count(), 1, "{name}: {ran:#?}");
    }
    let ran = place.run("predict run text.jpg bar.png --json");
    assert_eq!(ran.code, Some(1));
    let objects = ran.objects();
    assert!(
        objects[0]["error"].is_string() && objects[1]["class"].is_string(),
        "{objects:?}"
    );
}

#[test]
fn prototypes_are_drawn_and_described() {
    let place = trained();
    let drawn = place.bytes("run/prototypes.png");
    fs::remove_file(place.path("run/prototypes.png")).unwrap();
    let text = place.run("prototypes run").ok().out;
    assert!(text.contains("nearest of its class"), "{text}");
    assert!(
        place.bytes("run/prototypes.png") == drawn,
        "the same picture as after the training"
    );

    let found = place
        .run("prototypes run --out elsewhere.png --json")
        .ok()
        .object();
    assert_eq!(
        (found["per_class"].clone(), found["picture"].clone()),
        (2.into(), "elsewhere.png".into())
    );
    assert_eq!(found["classes"].as_array().unwrap().len(), 10);
    assert_eq!(
        found["health"],
        place.metrics("run").pop().unwrap()["prototypes"]
    );
    assert_eq!(
        image::open(place.path("elsewhere.png"))
            .unwrap()
            .dimensions(),
        (124, 604)
    );

    // A model file alone, away from its run.
    place.write(
        "alone/model.safetensors",
        place.bytes("run/model.safetensors"),
    );
    place.run("prototypes alone/model.safetensors").ok();
    assert!(place.bytes("alone/prototypes.png") == drawn);
}

#[test]
fn configurations_are_listed_shown_and_checked() {
    let place = Place::with_settings();
    let before = place.listing();
    let text = place.run("config show").ok().out;
    let listed = place.run("config show --json").ok().objects();
    assert!(listed.len() > 5);
    for preset in &listed {
        let name = preset["preset"].as_str().unwrap();
        assert!(text.contains(name));
        let shown = place
            .run(&format!("config show --preset {name} --json"))
            .ok()
            .object();
        assert!(shown["training"]["epochs"].as_u64().unwrap() > 0, "{name}");
    }
    let shown = place
        .run("config show --config small.json --set training.beta_1=0.5 --seed 9")
        .ok()
        .out;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (shown["seed"].clone(), shown["training"]["beta_1"].clone()),
        (9.into(), 0.5.into())
    );
    assert_eq!(shown["data"], settings()["data"]);
    let seeded = place.run("config show --seed 4 --json").ok().object();
    assert_eq!(seeded["seed"], 4, "flags alone change the default preset");

    let checked = place
        .run("config check --config small.json --json")
        .ok()
        .object();
    assert_eq!(
        (checked["valid"].clone(), checked["train"].clone()),
        (true.into(), 256.into())
    );
    assert!(checked["parameters"].as_u64().unwrap() > 1000);
    let text = place.run("config check --config small.json").ok().out;
    assert!(
        text.starts_with("valid: sampled-mean on mnist-5k"),
        "{text}"
    );
    let message = place
        .run("config check --config small.json --set model.encoder.widths=[4,4,4,4,4,4]")
        .fails(2);
    assert!(message.contains("model.encoder.widths"), "{message}");
    assert_eq!(place.listing(), before, "nothing is written");
}

#[test]
fn completions_know_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&format!("completions {shell}")).ok().out;
        for word in [
            "train",
            "eval",
            "predict",
            "prototypes",
            "config",
            "completions",
            "sanity-check",
            "resume",
        ] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    place.run("completions elvish-2").fails_with_lines(2);
    assert!(place.listing().is_empty());
}

#[test]
fn what_is_no_model_is_refused() {
    let place = trained();
    let model = place.bytes("run/model.safetensors");
    place.write("cut/model.safetensors", &model[..model.len() - 100]);
    place.write("text/model.safetensors", "no model at all");
    place.write("short/model.safetensors", "x");
    image::GrayImage::from_raw(28, 28, bar(4))
        .unwrap()
        .save(place.path("bar.png"))
        .unwrap();
    for folder in ["cut", "text", "short", "missing"] {
        let message = place.run(&format!("predict {folder} bar.png")).fails(1);
        assert!(message.contains(folder), "{message}");
    }
    let message = place.run("eval cut").fails(1);
    assert!(message.contains("config.json"), "{message}");
}
