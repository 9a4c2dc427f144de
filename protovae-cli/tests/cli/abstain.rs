//! `protovae predict` on pictures unlike the training images.

use super::support::Place;

fn with_bar() -> Place {
    let place = Place::with_settings();
    place
        .run("train --config small.json --out run --quiet")
        .ok();
    let pixels = (0..28 * 28).map(|pixel| if pixel % 28 / 4 == 3 { 250 } else { 5 });
    image::GrayImage::from_raw(28, 28, pixels.collect())
        .unwrap()
        .save(place.path("bar.png"))
        .unwrap();
    place
}

#[test]
fn a_trained_model_knows_what_is_strange() {
    let place = with_bar();
    let detector = place.json("run/strangeness.json");
    assert_eq!(
        (&detector["held_out"], &detector["share_rejected"]),
        (&100.into(), &0.01.into())
    );
    // The threshold decides; everything beside it stays as it is.
    let mut decided = Vec::new();
    for threshold in [1e9, -1e9] {
        let mut changed = detector.clone();
        changed["threshold"] = threshold.into();
        place.write("run/strangeness.json", changed.to_string());
        decided.push(place.run("predict run bar.png --json").ok().object());
    }
    assert_eq!(
        (&decided[0]["abstains"], &decided[1]["abstains"]),
        (&false.into(), &true.into())
    );
    for object in &decided {
        assert_eq!(object["class"], decided[0]["class"]);
        assert_eq!(object["strangeness"], decided[0]["strangeness"]);
        assert!(object["reason"].as_str().unwrap().contains("held-out"));
    }
    let text = place.run("predict run bar.png").ok().out;
    assert!(
        text.starts_with("bar.png: unsure, for it is unlike the training images ("),
        "{text}"
    );
    let text = place.run("predict run bar.png --never-abstain").ok().out;
    assert!(
        text.starts_with("bar.png: ") && !text.contains("unsure"),
        "{text}"
    );
    let object = place
        .run("predict run bar.png --never-abstain --json")
        .ok()
        .object();
    assert!(object.get("abstains").is_none());
}

#[test]
fn a_missing_detector_is_done_without_and_a_broken_one_named() {
    let place = with_bar();
    place.write("run/strangeness.json", r#"{"threshold": 1}"#);
    let message = place.run("predict run bar.png").fails(1);
    assert!(
        message.contains("strangeness.json") && message.contains("delete it"),
        "{message}"
    );
    std::fs::remove_file(place.path("run/strangeness.json")).unwrap();
    let object = place.run("predict run bar.png --json").ok().object();
    assert!(object.get("strangeness").is_none());
}
