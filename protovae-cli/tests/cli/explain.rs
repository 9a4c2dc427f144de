//! `protovae explain`: pictures, words, maps, and what cannot be explained.

use super::support::{Place, settings};

fn with_bars() -> Place {
    let place = Place::with_settings();
    place
        .run("train --config small.json --out run --quiet")
        .ok();
    for (name, column) in [("bar.png", 3), ("other.png", 5), ("more/bar.png", 4)] {
        std::fs::create_dir_all(place.path("more")).unwrap();
        let pixels = (0..28 * 28).map(|pixel| if pixel % 28 / 4 == column { 250 } else { 5 });
        image::GrayImage::from_raw(28, 28, pixels.collect())
            .unwrap()
            .save(place.path(name))
            .unwrap();
    }
    place
}

#[test]
fn each_picture_gets_its_words_its_panel_and_its_maps() {
    let place = with_bars();
    let ran = place
        .run("explain run bar.png other.png more/bar.png --maps --json")
        .ok();
    let found = ran.objects();
    assert_eq!(found.len(), 3);
    for (object, stem) in found.iter().zip(["bar", "other", "bar-2"]) {
        assert_eq!(object["picture"], format!("explanations/{stem}.png"));
        assert_eq!(object["method"], "prp");
        let targets = object["targets"].as_array().unwrap();
        assert_eq!(targets.len(), 3, "{object}");
        assert_eq!(targets[0]["class_index"], object["class_index"]);
        let of = |key: &'static str| {
            targets
                .iter()
                .map(move |target| target[key].as_f64().unwrap())
        };
        assert!(of("contribution").is_sorted_by(|a, b| a >= b), "{object}");
        assert!(
            (0.0..=1.000_001).contains(&of("share").sum::<f64>()),
            "{object}"
        );
        assert!(of("relevance").all(|sum| sum != 0.0), "{object}");
        let picture = image::open(place.path(&format!("explanations/{stem}.png"))).unwrap();
        assert!(picture.width() > 300 && picture.height() > 100);
    }
    let bytes = place.bytes("explanations/bar.npy");
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"));
    let header = String::from_utf8_lossy(&bytes[10..128]).into_owned();
    assert!(header.contains("'shape': (3, 1, 28, 28)"), "{header}");
    assert_eq!(bytes.len(), 128 + 4 * 3 * 28 * 28);

    // On the way from the similarity to the pixels this composite makes nothing, and loses only at outputs to which no input
    // contributes positively, of which so small a network has some.
    let conserved = place
        .run("explain run bar.png --method prp:z-plus --prototypes all --json")
        .ok()
        .object();
    for target in conserved["targets"].as_array().unwrap() {
        let of = |key: &str| target[key].as_f64().unwrap();
        let kept = of("relevance") / of("similarity");
        assert!((-1e-6..1.001).contains(&kept), "{target}");
    }

    let words = place.run("explain run bar.png --out words").ok().out;
    let class = found[0]["class"].as_str().unwrap();
    assert!(
        words.starts_with("bar.png: ") && words.contains(&format!("{class} #")),
        "{words}"
    );
    assert!(words.contains("words/bar.png"), "{words}");
}

#[test]
fn test_images_are_named_by_number_and_one_sheet_has_a_row_for_each() {
    let place = with_bars();
    let ran = place
        .run("explain run --test 3,99 bar.png --prototypes top2 --sheet all.png --json")
        .ok();
    let found = ran.objects();
    let images: Vec<&str> = found
        .iter()
        .map(|object| object["image"].as_str().unwrap())
        .collect();
    assert_eq!(images, ["bar.png", "test image 3", "test image 99"]);
    assert!(place.path("explanations/test-99.png").exists());
    let one = image::open(place.path("explanations/test-99.png")).unwrap();
    let all = image::open(place.path("all.png")).unwrap();
    // Three rows of seven pictures of 112 pixels.
    assert!(all.width() >= 7 * 112 && all.height() >= 3 * 112, "{all:?}");
    assert!(all.width() > one.width());
    let message = place.run("explain run --test 100").fails(2);
    assert!(message.contains("100 test images"), "{message}");
    place.run("explain run").fails_with_usage();
}

#[test]
fn prototypes_and_methods_are_chosen_by_name() {
    let place = with_bars();
    let count = |options: &str| {
        let ran = place
            .run(&format!("explain run bar.png --json {options}"))
            .ok();
        ran.object()["targets"].as_array().unwrap().len()
    };
    assert_eq!(count("--prototypes all"), 20);
    assert_eq!(count("--prototypes top1"), 1);
    assert_eq!(count("--prototypes 7:1,3:0"), 2);
    let chosen = place
        .run("explain run bar.png --json --prototypes 7:1,3:0")
        .ok()
        .object();
    let of = |index: usize| {
        let target = &chosen["targets"][index];
        (target["class_index"].clone(), target["prototype"].clone())
    };
    assert_eq!(of(0), (7.into(), 1.into()));
    assert_eq!(of(1), (3.into(), 0.into()));
    for method in [
        "prp:z-plus",
        "gradient-times-input",
        "integrated-gradients",
        "smooth-grad",
        "occlusion",
        "random",
    ] {
        let ran = place
            .run(&format!(
                "explain run bar.png --json --prototypes top1 --method {method}"
            ))
            .ok();
        assert!(place.bytes("explanations/bar.png").starts_with(b"\x89PNG"));
        assert!(ran.object()["method"].is_string());
    }
}

#[test]
fn what_cannot_be_explained_is_said() {
    let place = with_bars();
    for (options, word) in [
        ("--method magic", "`prp`"),
        ("--prototypes top0", "top"),
        ("--prototypes 12:0", "12"),
        ("--prototypes 7:2", "7"),
        ("--prototypes nine", "nine"),
    ] {
        let message = place
            .run(&format!("explain run bar.png {options}"))
            .fails(2);
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
    place.write("noise.png", b"\x89PNG and then nothing");
    let ran = place.run("explain run noise.png bar.png --json");
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    let objects = ran.objects();
    assert!(objects[0]["error"].is_string() && objects[1]["class"].is_string());

    let mut black_box = settings();
    let model = black_box["model"].as_object_mut().unwrap();
    for key in ["decoder", "prototypes_per_class"] {
        model.remove(key);
    }
    model.insert("type".to_string(), "black-box".into());
    model.insert("head".to_string(), serde_json::json!({"type": "linear"}));
    place.write("black.json", black_box.to_string());
    place
        .run("train --config black.json --out black --quiet")
        .ok();
    let message = place.run("explain black bar.png --method prp").fails(1);
    assert!(message.contains("prototypes"), "{message}");
    for (options, method) in [
        ("", "integrated gradients"),
        ("--method gradient-times-input", "gradient × input"),
    ] {
        let class = place
            .run(&format!("explain black bar.png --json {options}"))
            .ok()
            .object();
        assert_eq!(class["targets"].as_array().unwrap().len(), 1, "{class}");
        assert_eq!(class["method"], method);
    }
    // Nothing that is explained is written over, wherever results go.
    let photograph = place.bytes("bar.png");
    let beside = place
        .run("explain run bar.png --out . --sheet bar-2.png --json")
        .ok()
        .object();
    assert_eq!(beside["picture"], "./bar-3.png");
    assert!(place.path("bar-2.png").is_file() && place.bytes("bar.png") == photograph);
    let message = place.run("explain run bar.png --sheet bar.png").fails(2);
    assert!(message.contains("--sheet"), "{message}");
    assert!(place.bytes("bar.png") == photograph);
    place.run("report black --quiet").ok();
    assert!(place.path("black/report.html").is_file());
}

#[test]
fn where_nothing_can_be_written_it_stops() {
    let place = with_bars();
    // A folder is in the way of the first picture; the second would have room, as it would not on a full disk.
    std::fs::create_dir_all(place.path("out/bar.png/kept")).unwrap();
    let ran = place.run("explain run bar.png other.png --out out --sheet all.png");
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(ran.err.contains("out/bar.png"), "{ran:#?}");
    assert_eq!(ran.err.matches("error:").count(), 1, "{ran:#?}");
    let names = |folder: &str| -> Vec<_> {
        let entries = std::fs::read_dir(place.path(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    assert_eq!(names("out"), ["bar.png"], "nothing half-written is left");
    assert!(!place.path("all.png").exists());

    // That a sheet cannot be written is told before anything is explained.
    std::fs::create_dir_all(place.path("sheets/all.png/kept")).unwrap();
    let message = place
        .run("explain run bar.png --out pictures --sheet sheets/all.png")
        .fails(2);
    assert!(message.contains("sheets/all.png"), "{message}");
    assert_eq!(names("sheets"), ["all.png"]);
    assert!(!place.path("pictures").exists());
}
