//! `protovae compare`.

use serde_json::{Value, json};

use crate::support::{Place, settings};

/// Runs of two systems, one of them in two seeds.
fn trained() -> Place {
    let place = Place::with_settings();
    let mut black_box = settings();
    black_box["model"] = json!({
        "type": "black-box",
        "latent_dimensions": 8,
        "encoder": {"type": "conv-pool", "widths": [4]},
        "head": {"type": "linear"},
    });
    place.write("black-box.json", black_box.to_string());
    place.run("train --config small.json --out a -q").ok();
    place
        .run("train --config small.json --out b --seed 1 -q")
        .ok();
    place.run("train --config black-box.json --out c -q").ok();
    place
}

#[test]
fn runs_stand_side_by_side_in_every_form() {
    let place = trained();
    let found = place.run("compare a b c --images 20 --json").ok().object();
    let groups = found["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 2);
    assert_eq!(groups[0]["seeds"], json!([0, 1]));
    let accuracy = |run: &str| place.metrics(run).pop().unwrap()["test"]["accuracy"].clone();
    let (a, b) = (
        accuracy("a").as_f64().unwrap(),
        accuracy("b").as_f64().unwrap(),
    );
    let mean = groups[0]["spreads"]["accuracy"]["mean"].as_f64().unwrap();
    assert!((mean - (a + b) / 2.0).abs() < 1e-12);
    assert_eq!(groups[1]["spreads"]["accuracy"]["mean"], accuracy("c"));
    for figure in [
        "parameters",
        "epoch-seconds",
        "average-drop",
        "average-increase",
        "ordering-area",
        "diversity",
        "dead",
        "map-change",
        "similarity-change",
        "attacked-accuracy",
    ] {
        assert!(
            groups[0]["spreads"][figure]["mean"].is_f64(),
            "{figure}: {found}"
        );
    }
    // What a system has not, it has not.
    assert_eq!(groups[1]["spreads"].get("dead"), None);
    // A stand-in for MNIST has no published number.
    assert_eq!(groups[0]["published"], Value::Null);

    let text = place.run("compare a b c --images 0").ok().out;
    assert!(
        text.contains("protovae") && text.contains("2 seeds"),
        "{text}"
    );
    assert!(!text.contains("Average Drop"), "{text}");
    let markdown = place
        .run("compare a c --images 0 --format markdown")
        .ok()
        .out;
    assert!(markdown.starts_with("| mnist-5k"), "{markdown}");
    let csv = place.run("compare a c --images 0 --format csv").ok().out;
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(
        csv.starts_with("data,system,epochs,seeds,runs,accuracy,"),
        "{csv}"
    );
}

#[test]
fn a_page_and_figures_are_written() {
    let place = trained();
    place
        .run("compare a c --images 0 --page page.html --figures drawn --classes 7,1")
        .ok();
    let page = String::from_utf8(place.bytes("page.html")).unwrap();
    // Two prototypes a class of one system; the black box has none.
    assert_eq!(page.matches("data:image/png;base64,").count(), 20);
    assert!(!page.contains("src=\"http"));
    for name in ["figure-4-7.png", "figure-5-1.png"] {
        image::load_from_memory(&place.bytes(&format!("drawn/{name}"))).unwrap();
    }
    // No system of patches, so nothing to hold against images.
    assert!(!place.path("drawn/figure-7.png").exists());
}

#[test]
fn what_cannot_be_compared_is_told_in_one_line() {
    let place = trained();
    place.run("compare").fails_with_usage();
    // Where a result cannot go is told before the work.
    for command in [
        "compare a --page no/page.html",
        "measure a --out no/measures.json",
        "report a --out no/report.html",
        "explain a --test 0 --sheet no/sheet.png",
        "measure a --out b",
    ] {
        let error = place.run(command).fails(2);
        assert!(error.contains("folder"), "{error}");
    }
    let error = place.run("compare nowhere").fails(1);
    assert!(error.contains("nowhere"), "{error}");
    let error = place.run("compare a --method nothing").fails(2);
    assert!(error.contains("gradient-times-input"), "{error}");
    let error = place
        .run("compare a --images 0 --figures f --classes lion")
        .fails(2);
    assert!(error.contains("there is no class `lion`"), "{error}");
    let error = place.run("compare c --images 0 --figures f").fails(2);
    assert!(error.contains("none of these runs"), "{error}");
    std::fs::remove_file(place.path("a/model.safetensors")).unwrap();
    let error = place.run("compare a --images 0").fails(1);
    assert!(error.contains("--resume a"), "{error}");
}
