//! Models that explain themselves by concepts: SENN and FLINT, through every command.

use serde_json::{Value, json};

use crate::report::is_inert;
use crate::resume::{checkpoints, kill_when, timeless};
use crate::support::{Place, bar, settings};

/// A small model on a part of the embedded set.
fn small(kind: &str) -> Value {
    let mut config = settings();
    let decoder = config["model"]["decoder"].clone();
    config["model"] = json!({
        "type": kind, "latent_dimensions": 8, "encoder": {"type": "conv-pool", "widths": [4, 6]}, "decoder": decoder,
    });
    let (key, value) = match kind {
        "senn" => ("concepts", json!(5)),
        _ => ("attributes", json!(7)),
    };
    config["model"][key] = value;
    config
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// A place with a trained run of each, and a picture.
fn trained(kind: &str) -> Place {
    let place = Place::new();
    place.write("small.json", small(kind).to_string());
    let ran = place.run("train --config small.json --out run").ok();
    assert!(ran.out.contains("concepts.png"), "{ran:#?}");
    assert!(!ran.out.contains("protovae prototypes"), "{ran:#?}");
    image::GrayImage::from_raw(28, 28, bar(3))
        .unwrap()
        .save(place.path("bar.png"))
        .unwrap();
    place
}

#[test]
fn every_command_takes_them() {
    for (kind, concepts, reported, terms) in [
        ("senn", 5, "senn", ["robustness", "sparsity"]),
        ("flint", 7, "flint-g", ["predictor_error", "diversity"]),
    ] {
        let place = trained(kind);
        assert!(place.path("run/concepts.png").is_file());
        assert!(place.path("run/reconstructions.png").is_file());
        assert!(!place.path("run/prototypes.png").exists());
        assert!(!place.path("run/strangeness.json").exists());

        let found = place.run("eval run --json").ok().object();
        assert_eq!(found["reported_as"], reported);
        for term in terms {
            assert!(number(&found["terms"][term]).is_finite(), "{term}");
        }

        let found = place
            .run("predict run bar.png --json --prototypes 99")
            .ok()
            .object();
        let parts = found["concepts"].as_array().unwrap();
        assert_eq!(parts.len(), concepts);
        for pair in parts.windows(2) {
            let [before, after] = [0, 1].map(|at: usize| number(&pair[at]["contribution"]));
            assert!(before >= after, "{parts:#?}");
        }
        let product = number(&parts[0]["activation"]) * number(&parts[0]["weight"]);
        assert!((product - number(&parts[0]["contribution"])).abs() < 1e-4);
        let said = place.run("predict run bar.png").ok().out;
        assert!(said.contains("concept") && said.contains("adds"), "{said}");

        let ran = place
            .run("explain run bar.png --test 0 --sheet all.png")
            .ok();
        assert!(ran.out.contains("concept"), "{ran:#?}");
        assert!(place.path("explanations/bar.png").is_file());
        assert!(place.path("all.png").is_file());

        place.run("report run --images 5 --predictions 2 -q").ok();
        let page = String::from_utf8(place.bytes("run/report.html")).unwrap();
        is_inert(&page);
        for word in [
            "id=\"concepts\"",
            "concept 4",
            "speaks for",
            "integrated-gradients",
        ] {
            assert!(page.contains(word), "{word}");
        }

        place
            .run("measure run --images 4 --method occlusion --measure masking")
            .ok();
        let message = place.run("prototypes run").fails(1);
        assert!(
            message.contains(kind) && message.contains("concepts.png"),
            "{message}"
        );
    }
}

#[test]
fn relevance_propagation_says_that_it_cannot_walk_them() {
    let place = trained("flint");
    let message = place.run("explain run bar.png --method prp").fails(1);
    assert!(message.contains("flint"), "{message}");
}

#[test]
fn flint_answers_as_it_is_told() {
    let place = Place::new();
    let mut config = small("flint");
    config["model"]["answer"] = json!("predictor");
    place.write("small.json", config.to_string());
    place.run("train --config small.json --out run -q").ok();
    let found = place.run("eval run --json").ok().object();
    assert_eq!(found["reported_as"], "flint-f");
    // One run has both accuracies.
    let error = number(&found["terms"]["interpreter_error"]);
    assert!((0.0..=1.0).contains(&error));
    config["model"]["answer"] = json!("neither");
    place.write("wrong.json", config.to_string());
    let message = place
        .run("train --config wrong.json --out other")
        .fails_with_lines(2);
    assert!(message.contains("neither"), "{message}");
}

/// The schedule follows the epoch, so it goes on where it was.
#[test]
fn flints_schedule_survives_kills() {
    let place = Place::new();
    let mut config = small("flint");
    config["model"]["schedule"] = json!({"fidelity_after": 1, "conciseness_after": 2});
    config["training"] = json!({
        "epochs": 3, "batch_size": 8, "log_every": 4, "checkpoint_every": 5,
    });
    place.write("long.json", config.to_string());
    place.run("train --config long.json --out whole -q").ok();
    let mut kills = 0;
    let mut arguments = "train --config long.json --out run -q";
    // In each epoch: 32 steps each.
    for checkpoint in ["step-000000010", "step-000000045", "step-000000075"] {
        kills += usize::from(kill_when(&place, arguments, || {
            let newest = checkpoints(&place, "step-").pop();
            newest.is_some_and(|newest| newest.as_str() >= checkpoint)
        }));
        arguments = "train --resume run -q";
    }
    assert!(kills >= 2, "only {kills} kills came in time");
    place.run(arguments).ok();
    assert!(place.bytes("run/model.safetensors") == place.bytes("whole/model.safetensors"));
    assert_eq!(timeless(&place, "run"), timeless(&place, "whole"));
    assert!(place.bytes("run/concepts.png") == place.bytes("whole/concepts.png"));
}

#[test]
fn the_presets_are_there() {
    let place = Place::new();
    for (preset, key, count) in [
        ("senn-mnist", "concepts", 10),
        ("senn-cifar-10", "concepts", 20),
        ("flint-fashion-mnist", "attributes", 25),
        ("flint-quickdraw", "attributes", 24),
        ("flint-cifar-10-resnet18", "attributes", 36),
    ] {
        let found = place
            .run(&format!("config show --preset {preset} --json"))
            .ok()
            .object();
        assert_eq!(found["model"][key], count, "{preset}");
    }
}
