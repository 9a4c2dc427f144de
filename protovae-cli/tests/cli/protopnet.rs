//! ProtoPNet through the program: trained, measured, shown, explained.

use serde_json::{Value, json};

use super::support::{Place, settings};

/// Two epochs with a push after each.
fn small() -> Value {
    let mut config = settings();
    config["model"] = json!({
        "type": "protopnet",
        "encoder": {"type": "conv-pool", "widths": [4, 6]},
        "prototypes_per_class": 2,
        "channels": 8,
        "warm_up_epochs": 1,
        "push_start": 0,
        "push_every": 1,
        "last_layer_iterations": 2,
        "pruning": {},
    });
    config
}

fn trained() -> Place {
    let place = Place::new();
    place.write("small.json", small().to_string());
    place.run("train --config small.json --out run -q").ok();
    place
}

#[test]
fn a_run_from_training_to_report() {
    let place = trained();
    let sheet = image::open(place.path("run/prototypes.png")).unwrap();
    // Ten classes of two prototypes, each with its part beside it; 28 pixels become 84.
    assert_eq!((sheet.width(), sheet.height()), (4 * 88 + 4, 10 * 88 + 4));
    assert!(!place.path("run/reconstructions.png").exists());

    let last = place.metrics("run").pop().unwrap();
    let evaluated = place.run("eval run --json").ok().object();
    assert_eq!(evaluated["accuracy"], last["test"]["accuracy"]);

    std::fs::remove_file(place.path("run/prototypes.png")).unwrap();
    let ran = place.run("prototypes run --json").ok();
    let found = ran.object();
    let places = found["provenance"].as_array().unwrap();
    assert_eq!(places.len(), 20);
    assert!(
        places
            .iter()
            .all(|place| place["sample"].as_u64().unwrap() < 256)
    );
    assert!(place.path("run/prototypes.png").exists());
    let said = place.run("prototypes run").ok().out;
    assert_eq!(said.matches("training image").count(), 20, "{said}");
    assert!(
        said.contains("rows") && said.contains("in the box"),
        "{said}"
    );

    let explained = place.run("explain run --test 0,3 --json").ok().objects();
    assert_eq!(explained[0]["method"], "similarity map");
    assert_eq!(explained[0]["targets"].as_array().unwrap().len(), 3);
    assert!(place.path("explanations/test-3.png").exists());

    place.run("report run --images 4 --predictions 2").ok();
    let page = String::from_utf8(place.bytes("run/report.html")).unwrap();
    for words in [
        "parts of training images",
        "most similar here",
        "points",
        "similarity-map",
        "rows",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains("latent dimensions"));
}

#[test]
fn without_the_training_images_prototypes_cannot_be_shown() {
    let place = trained();
    let message = place.run("prototypes run/model.safetensors").fails(2);
    assert!(
        message.contains("training images") && message.contains("run directory"),
        "{message}"
    );
    let mut other = small();
    other["data"]["train_limit"] = json!(200);
    place.write("run/config.json", other.to_string());
    let message = place.run("prototypes run").fails(2);
    assert!(
        message.contains("not those that the model was trained on"),
        "{message}"
    );
    // A picture is explained all the same.
    let ran = place.run("explain run --test 1").ok();
    assert!(ran.err.contains("without the training images"), "{ran:#?}");
}

#[test]
fn presets_have_table_4s_settings() {
    let place = Place::new();
    for (data, epochs, channels, per_class) in [
        ("mnist", 31, 256, 5),
        ("fashion-mnist", 31, 256, 10),
        ("cifar-10", 21, 512, 10),
        ("quickdraw", 51, 512, 10),
        ("svhn", 51, 512, 5),
    ] {
        for suffix in ["", "-resnet18"] {
            let shown = place
                .run(&format!("config show --preset protopnet-{data}{suffix}"))
                .ok()
                .out;
            let shown: Value = serde_json::from_str(&shown).unwrap();
            assert_eq!(shown["training"]["epochs"], epochs, "{data}");
            assert_eq!(shown["model"]["channels"], channels, "{data}");
            assert_eq!(shown["model"]["prototypes_per_class"], per_class, "{data}");
        }
    }
}
