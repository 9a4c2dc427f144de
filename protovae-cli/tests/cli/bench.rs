//! `protovae bench`: figures that can be read by a program, and mistakes that are named before any minute goes by.

use crate::support::Place;

#[test]
fn every_preset_is_measured_without_data() {
    let place = Place::new();
    let options = "bench --batch 2 --steps 1 --warmup 0 --json";
    let presets: Vec<String> = place
        .run(options)
        .ok()
        .objects()
        .into_iter()
        .map(|found| {
            for key in [
                "train_images_per_second",
                "evaluation_images_per_second",
                "train_share_of_peak",
            ] {
                assert!(found[key].as_f64().unwrap() > 0.0, "{key}: {found}");
            }
            // A backward pass is about twice a forward pass; the decoder works in both.
            let operations = |key: &str| found[key].as_f64().unwrap();
            let ratio = operations("train_operations_per_image")
                / operations("evaluation_operations_per_image");
            assert!((2.0..3.1).contains(&ratio), "{ratio}: {found}");
            found["preset"].as_str().unwrap().to_string()
        })
        .collect();
    for preset in [
        "mnist-5k",
        "mnist",
        "fashion-mnist",
        "quickdraw",
        "cifar-10",
        "svhn",
        "svhn-black-box",
    ] {
        assert!(
            presets.iter().any(|name| name == preset),
            "{preset} is not in {presets:?}"
        );
    }
}

#[test]
fn relevance_maps_are_timed_where_there_are_prototypes() {
    let place = Place::new();
    let options = "bench --batch 2 --steps 1 --warmup 0 --explain 2 --json";
    let presets = "--preset mnist --preset mnist-black-box";
    let found = place.run(&format!("{options} {presets}")).ok().objects();
    let maps = |index: usize| &found[index]["relevance_maps_per_second"];
    assert!(maps(0).as_f64().unwrap() > 0.0, "{found:?}");
    assert!(maps(1).is_null(), "{found:?}");
}

#[test]
fn wrong_arguments_are_named() {
    let place = Place::new();
    for (options, word) in [
        ("bench --preset minst", "did you mean `mnist`"),
        ("bench --steps 0", "--steps"),
        ("bench --preset mnist --batch 0", "training.batch_size"),
        (
            "bench --preset mnist --set model.los.x=1",
            "did you mean `loss`",
        ),
    ] {
        let message = place.run(options).fails(2);
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}
