//! `protovae data`, and training on pictures of one's own.

use std::fs;

use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::json;

use crate::support::{Place, settings, write_idx};

/// Two classes of pictures of different sizes, one of them grey: bright on the left, or on the right.
fn photos(place: &Place, count: u32) {
    for (class, bright_left) in [("left", true), ("right", false)] {
        let folder = place.path("photos").join(class);
        fs::create_dir_all(&folder).unwrap();
        for number in 0..count {
            let (width, height) = (20 + number, 30);
            let value = |x: u32, y: u32| {
                let bright = (x < width / 2) == bright_left;
                (if bright { 200 } else { 20 }) + ((x * 7 + y * 3 + number) % 20) as u8
            };
            let name = folder.join(format!("{number}.png"));
            if number % 2 == 0 {
                let picture = RgbImage::from_fn(width, height, |x, y| {
                    Rgb([value(x, y), value(x, y) / 2, 30])
                });
                picture.save(name).unwrap();
            } else {
                let picture = GrayImage::from_fn(width, height, |x, y| Luma([value(x, y)]));
                picture.save(name).unwrap();
            }
        }
    }
}

#[test]
fn the_list_names_all_published_sets() {
    let place = Place::new();
    let ran = place.run("data list").ok();
    let objects = place.run("data list --json").ok().objects();
    for name in [
        "mnist",
        "fashion-mnist",
        "cifar-10",
        "svhn",
        "quickdraw",
        "celeba",
    ] {
        assert!(ran.out.contains(name), "{}", ran.out);
        assert!(objects.iter().any(|set| set["set"] == name));
    }
    assert!(
        objects
            .iter()
            .all(|set| set["bytes"].as_u64().unwrap() > 1 << 20)
    );
}

#[test]
fn statistics_count_measure_and_draw() {
    let place = Place::new();
    let found = place.run("data stats mnist-5k --json").ok().object();
    assert_eq!(found["images"], 4000);
    assert_eq!(
        found["per_class"],
        json!([400, 400, 400, 400, 400, 400, 400, 400, 400, 400])
    );
    let mean = found["mean"][0].as_f64().unwrap();
    assert!((mean - 0.1307).abs() < 0.003, "{mean}");
    let sheet = image::open(place.path("mnist-5k.png")).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (12 * 30 + 2, 10 * 30 + 2));
    let told = place
        .run("data stats mnist-5k --split test --columns 3 --out sheet.png")
        .ok();
    assert!(told.out.contains("1000 test images"), "{}", told.out);
    assert_eq!(
        image::open(place.path("sheet.png")).unwrap().width(),
        3 * 30 + 2
    );
}

#[test]
fn a_set_that_is_not_the_published_one_is_told_from_it() {
    let place = Place::new();
    write_idx(&place, "data/mnist", 30);
    let ran = place.run("data verify mnist --data-dir data");
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(ran.out.contains("NOT the published set"), "{}", ran.out);
    assert!(
        ran.out.contains("WRONG  training images: 30, not 60000"),
        "{}",
        ran.out
    );
    let found = place.run("data verify mnist --data-dir data --json");
    assert_eq!(found.object()["complete"], false);
    let message = place.run("data verify mnits").fails(2);
    assert!(message.contains("mnist"), "{message}");
}

#[test]
fn files_of_ones_own_are_taken_only_if_they_are_the_published_ones() {
    let place = Place::new();
    write_idx(&place, "mine", 30);
    let ran = place.run("data fetch mnist --from mine --data-dir data");
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(!place.path("data/mnist/train-images-idx3-ubyte").exists());
    let ran = place.run("data fetch mnist --from nowhere --data-dir data");
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(ran.err.contains("nowhere"), "{}", ran.err);
    place
        .run("data fetch mnist --from mine --mirror http://127.0.0.1:9/")
        .fails_with_usage();
}

#[test]
fn ones_own_pictures_train_to_the_end() {
    let place = Place::new();
    photos(&place, 10);
    let stats = "data stats image-folder --set data.path=photos --out sheet.png --json";
    let found = place.run(stats).ok().object();
    assert_eq!(found["per_class"], json!([8, 8]));
    assert_eq!(found["classes"], json!(["left", "right"]));

    let ran = place
        .run(
            "train --set data.type=image-folder --set data.path=photos --epochs 2 --out run \
             --set augmentation.jitter.brightness=0.1",
        )
        .ok();
    assert!(ran.err.contains("note: "), "{}", ran.err);
    let config = place.json("run/config.json");
    assert_eq!(config["data"]["size"], json!([64, 64]));
    assert_eq!(config["augmentation"]["jitter"]["brightness"], 0.1);
    for file in ["model.safetensors", "prototypes.png", "reconstructions.png"] {
        assert!(place.path("run").join(file).is_file(), "{file}");
    }
    let epoch = place.metrics("run").pop().unwrap();
    let share = epoch["timing"]["waited_share"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&share), "{share}");
    place.run("eval run").ok();
    place.run("predict run photos/left/0.png").ok();

    // With memory or from disk: the same model.
    place
        .run(
            "train --set data.type=image-folder --set data.path=photos --epochs 2 --out disk \
             --set augmentation.jitter.brightness=0.1 --set data.memory_limit_mib=0 \
             --set training.loader_threads=3",
        )
        .ok();
    let weights = |run: &str| {
        let loaded = place.run(&format!("eval {run} --json")).ok().object();
        (loaded["loss"].clone(), loaded["terms"].clone())
    };
    assert_eq!(weights("run"), weights("disk"));
}

#[test]
fn augmentation_is_checked_before_anything_is_written() {
    let place = Place::with_settings();
    let before = place.listing();
    for (set, word) in [
        ("augmentation.crop_padding=28", "crop_padding"),
        ("augmentation.flip=1.5", "flip"),
        ("augmentation.jitter.hue=0.6", "hue"),
        ("augmentation.jitter.colour=1", "colour"),
        ("augmentation.crop=2", "augmentation.crop"),
    ] {
        let message = place
            .run(&format!("train --config small.json --set {set}"))
            .fails(2);
        assert!(message.contains(word), "{set}: {message}");
    }
    assert_eq!(place.listing(), before);
}

/// What an image is changed into does not depend on who prepares the batch.
#[test]
fn threads_of_the_loader_change_nothing_with_augmentation() {
    let place = Place::new();
    let mut config = settings();
    config["augmentation"] = json!({"crop_padding": 3, "flip": 0.5, "jitter": {"contrast": 0.4}});
    for threads in [0, 1, 3] {
        config["training"]["loader_threads"] = json!(threads);
        place.write("small.json", config.to_string());
        place
            .run(&format!("train --config small.json --out run{threads}"))
            .ok();
    }
    let model = place.bytes("run0/model.safetensors");
    assert!(model == place.bytes("run1/model.safetensors"));
    assert!(model == place.bytes("run3/model.safetensors"));
    config["augmentation"] = json!({});
    place.write("small.json", config.to_string());
    place.run("train --config small.json --out plain").ok();
    assert!(model != place.bytes("plain/model.safetensors"));
}
