//! Runs with a planted cue: trained, resumed, measured, and without the prototypes that show it.

use serde_json::{Value, json};

use super::resume::{checkpoints, kill_when, timeless};
use super::support::{Place, settings};

const CLASS: usize = 3;

fn planted(share: f64) -> Value {
    let mut config = settings();
    config["cue"] = json!({"class": CLASS, "share": share, "corner": "bottom-right"});
    config
}

fn trained(config: &Value) -> Place {
    let place = Place::new();
    place.write("small.json", config.to_string());
    place.run("train --config small.json --out run -q").ok();
    place
}

#[test]
fn a_run_from_training_to_removal() {
    let place = trained(&planted(0.5));
    let cue = &place.json("run/config.json")["cue"];
    assert_eq!(
        (&cue["size"], &cue["margin"], &cue["color"]),
        (&json!(4), &json!(1), &json!([255, 255, 255]))
    );
    // Every command knows the images again, and says what was done to them.
    let ran = place.run("eval run --json").ok();
    let evaluated = ran.object();
    let last = place.metrics("run").pop().unwrap();
    assert_eq!(evaluated["accuracy"], last["test"]["accuracy"]);
    let said = "50 % of the training images of class 3 (3)";
    assert!(ran.err.contains(said), "{ran:#?}");
    let commands = [
        "eval run --split train",
        "measure run --method random --measure masking --images 3",
        "report run --images 4 --predictions 2",
        "compare run --images 0",
        "explain run --test 1",
        "prototypes run",
    ];
    for command in commands {
        let ran = place.run(command).ok();
        assert!(!ran.err.contains("not the data"), "{ran:#?}");
        assert!(!ran.err.contains("other data"), "{ran:#?}");
    }
    // Other data stay as they are.
    let ran = place.run("eval run --set data.test_limit=7").ok();
    assert!(!ran.err.contains("spurious"), "{ran:#?}");
    let page = String::from_utf8(place.bytes("run/report.html")).unwrap();
    assert!(page.contains(said));
    let table = place.run("compare run --images 0").ok().out;
    assert!(table.contains("cue in 50 % of class 3"), "{table}");

    // So low a threshold takes what little is there for the cue.
    let measure = "measure run --measure cue --cue-threshold 0";
    let ran = place.run(&format!("{measure} --json --out cue.json")).ok();
    let found = &ran.object()["cue"];
    assert_eq!(&place.json("cue.json")["cue"], found);
    let effect = &found["effect"];
    assert_eq!(effect["accuracy"]["images"], 100);
    assert_eq!(effect["accuracy"]["mean"], evaluated["accuracy"]);
    let of_class = effect["class_accuracy"]["images"].as_u64().unwrap();
    assert_eq!(effect["others_taken_with_cue"]["images"], 100 - of_class);
    let classes = found["shown"]["classes"].as_array().unwrap();
    assert_eq!(classes.len(), 10);
    for class in classes {
        let scores = class["scores"].as_array().unwrap();
        assert_eq!(scores.len(), 2);
        let shown = |score: &&Value| score.as_f64().unwrap() > 0.0;
        assert_eq!(class["count"], scores.iter().filter(shown).count());
    }
    let with_cue = &found["reconstructed"]["with_cue"];
    assert_eq!(with_cue["images"], of_class);
    assert_eq!(found["relevance"]["with_cue"]["images"], 100);
    let removed = found["without_shown"]["removed"].as_array().unwrap();
    assert_eq!(removed.len(), 1, "{found:#}");
    let both = "measure run --measure cue --measure diversity --images 7";
    let text = place.run(both).ok().out;
    assert!(
        text.contains("others taken for 3") && text.contains("mean distance within a class"),
        "{text}"
    );

    // A run without the prototype, the numbers of which are those of the measure.
    let before = place.listing();
    let row = removed[0].as_u64().unwrap() as usize;
    let remove = format!("prototypes run --remove {CLASS}:{}", row % 2);
    let done = place
        .run(&format!("{remove} --out-run less --json"))
        .ok()
        .object();
    assert_eq!(done["rows"], json!([row]));
    assert_eq!(done["accuracy_before"], evaluated["accuracy"]);
    let after = place.listing();
    assert!(
        before
            .iter()
            .all(|(path, file)| after.get(path) == Some(file))
    );
    let accuracy = &found["without_shown"]["effect"]["accuracy"]["mean"];
    let ran = place.run("eval less --json").ok();
    assert_eq!(&ran.object()["accuracy"], accuracy);
    assert!(ran.err.contains(&format!(
        "taken out of this model's classification after training: 3:{}",
        row % 2
    )));
    assert_eq!(
        &place.metrics("less").pop().unwrap()["test"]["accuracy"],
        accuracy
    );
    assert_eq!(
        place.run("prototypes less --json").ok().object()["unused"],
        json!([row])
    );
    assert!(
        place
            .run("prototypes less")
            .ok()
            .out
            .contains("counts for nothing")
    );
    let table = place.run("compare run less --images 0").ok().out;
    assert!(table.contains("without 1 of its prototypes"), "{table}");
    place.run("predict less explanations/test-1.png").ok();
    place.run("report less --images 0").ok();
    let again = place.run(&format!("{measure} --json")).ok().object();
    assert_eq!(&again["cue"], found);

    // What goes on from there would have them all again.
    let message = place.run("train --resume less").fails(2);
    assert!(message.contains("taken out"), "{message}");
    place.run(&format!("{remove} --out-run less")).fails(2);
    let ran = place
        .run(&format!(
            "{remove},{CLASS}:{} --out-run less --overwrite",
            1 - row % 2
        ))
        .ok();
    assert!(
        ran.err.contains("class 3 (3) has no prototype left"),
        "{ran:#?}"
    );
    place
        .run(&format!("{remove} --out-run run --overwrite"))
        .fails(2);
    place.run(&remove).fails_with_usage();
    for wrong in ["top3", "all", "3:2", "cat:0", "3"] {
        let message = place
            .run(&format!("prototypes run --remove {wrong} --out-run new"))
            .fails(2);
        assert!(message.contains(wrong), "{message}");
    }
    assert!(!place.path("new").exists());
}

#[test]
fn a_killed_run_ends_as_an_uninterrupted_one() {
    let place = Place::new();
    let mut config = planted(0.7);
    config["augmentation"] = json!({"crop_padding": 2});
    config["training"]["checkpoint_every"] = json!(3);
    place.write("small.json", config.to_string());
    place.run("train --config small.json --out whole -q").ok();
    kill_when(&place, "train --config small.json --out run -q", || {
        !checkpoints(&place, "step-").is_empty()
    });
    place.run("train --resume run -q").ok();
    assert_eq!(timeless(&place, "run"), timeless(&place, "whole"));
    assert!(place.bytes("run/model.safetensors") == place.bytes("whole/model.safetensors"));
}

#[test]
fn a_cue_in_no_image_changes_nothing_but_can_be_measured() {
    let place = trained(&planted(0.0));
    place.write("clean.json", settings().to_string());
    place.run("train --config clean.json --out clean -q").ok();
    assert!(place.bytes("run/model.safetensors") == place.bytes("clean/model.safetensors"));
    let measured = place
        .run("measure run --measure cue --images 20 --json")
        .ok()
        .object();
    assert_eq!(measured["cue"]["effect"]["accuracy"]["images"], 20);
    let message = place.run("measure clean --measure cue").fails(2);
    assert!(message.contains("without a cue"), "{message}");
    place
        .run("measure run --measure cue --split train")
        .fails(2);
    place
        .run("measure run --measure cue --cue-threshold 2")
        .fails(2);
}

#[test]
fn prototypes_that_are_patches_of_planted_images_show_it() {
    let mut config = planted(1.0);
    config["model"] = json!({
        "type": "protopnet",
        "encoder": {"type": "conv-pool", "widths": [4, 6]},
        "prototypes_per_class": 2,
        "channels": 8,
        "warm_up_epochs": 1,
        "push_start": 0,
        "push_every": 1,
        "last_layer_iterations": 2,
    });
    // The patch is the whole image: every prototype of the class is a training image with the cue.
    config["cue"] = json!({"class": CLASS, "size": 28, "margin": 0});
    let place = trained(&config);
    let found = place.run("measure run --measure cue --json").ok().object();
    let shown = &found["cue"]["shown"]["classes"];
    // What of the cue lies in the part of the image that the prototype is.
    for score in shown[CLASS]["scores"].as_array().unwrap() {
        let score = score.as_f64().unwrap();
        assert!(score > 0.0 && score <= 1.0, "{score}");
    }
    let places = place.run("prototypes run --json").ok().object()["provenance"].clone();
    for (index, score) in shown[CLASS]["scores"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
    {
        let region = &places[2 * CLASS + index]["region"];
        let side = |key: &str| region[key].as_f64().unwrap();
        let covered = side("height") * side("width") / (28.0 * 28.0);
        assert!(
            (score.as_f64().unwrap() - covered).abs() < 1e-6,
            "{region} {score}"
        );
    }
    let done = place
        .run("prototypes run --remove 3:0 --out-run less --json")
        .ok()
        .object();
    let evaluated = place.run("eval less --json").ok().object();
    assert_eq!(evaluated["accuracy"], done["accuracy"]);
    let unused = place.run("prototypes less --json").ok().object()["unused"].clone();
    assert_eq!(unused, json!([6]));
}

#[test]
fn cues_that_cannot_be_are_refused_before_anything_is_written() {
    let place = Place::with_settings();
    for (set, words) in [
        ("cue.class=10", "cue.class"),
        ("cue.class=3 --set cue.share=1.5", "cue.share"),
        ("cue.class=3 --set cue.size=28", "cue.size"),
        ("cue.class=3 --set cue.margin=40", "cue.size"),
        ("cue.class=three", "cue.class"),
        (
            "cue.class=3 --set cue.colour=[1,2,3]",
            "did you mean `color`",
        ),
        ("cue.size=3", "class"),
    ] {
        let message = place
            .run(&format!("train --config small.json --out run --set {set}"))
            .fails(2);
        assert!(message.contains(words), "{message}");
        assert!(!place.path("run").exists());
        place
            .run(&format!("config check --config small.json --set {set}"))
            .fails(2);
    }
    let black_box = "--set model.type=black-box --set model.encoder.type=conv-pool --set model.encoder.widths=[4] \
        --set model.head.type=linear --set model.latent_dimensions=8";
    place
        .run(&format!(
            "train --config small.json --out run -q --set cue.class=3 {black_box}"
        ))
        .ok();
    let found = place.run("measure run --measure cue --json").ok().object()["cue"].clone();
    assert!(found["shown"].is_null() && found["without_shown"].is_null());
    assert_eq!(found["relevance"]["explainer"], "integrated gradients");
    let message = place
        .run("prototypes run --remove 3:0 --out-run less")
        .fails(1);
    assert!(message.contains("no prototypes"), "{message}");
    assert!(!place.path("less").exists());
}
