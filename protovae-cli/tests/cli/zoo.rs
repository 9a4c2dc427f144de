//! Models that come with the program: used in an empty home, without data.

use serde_json::{Value, json};

use super::support::Place;

const MODELS: [&str; 2] = ["mnist", "fashion-mnist"];

#[test]
fn the_list_says_what_each_model_is() {
    let place = Place::new();
    let objects = place.run("zoo --json").ok().objects();
    assert_eq!(objects, place.run("zoo list --json").ok().objects());
    let names: Vec<&Value> = objects.iter().map(|object| &object["name"]).collect();
    assert_eq!(names, MODELS);
    for object in &objects {
        for key in ["summary", "data", "licence", "command", "commit"] {
            assert_ne!(object[key].as_str().unwrap(), "", "{key}");
        }
        assert!(object["accuracy"].as_f64().unwrap() > 0.9);
        assert_eq!(object["sha256"].as_str().unwrap().len(), 64);
        // The whole zoo is to stay within what a crate may have.
        assert!(object["bytes"].as_u64().unwrap() < 3_000_000);
    }
    let text = place.run("zoo").ok().out;
    for name in MODELS {
        assert!(text.contains(&format!("zoo:{name}  ")), "{text}");
    }
    assert!(
        text.contains("made by  protovae train --preset mnist"),
        "{text}"
    );
}

#[test]
fn predictions_and_explanations_need_no_picture() {
    let place = Place::new();
    let ran = place.run("predict zoo:mnist --json").ok();
    assert!(
        ran.err.contains("first test image of each class"),
        "{}",
        ran.err
    );
    let objects = ran.objects();
    assert_eq!(objects.len(), 10);
    for (digit, object) in objects.iter().enumerate() {
        assert_eq!(object["image"], format!("sample of {digit}"));
        // The first five of MNIST's test images is one of its strangest.
        assert_eq!(object["abstains"], digit == 5, "{object}");
        assert!(digit == 5 || object["class_index"] == digit, "{object}");
        assert_eq!(object["prototypes"].as_array().unwrap().len(), 3);
    }
    let objects = place.run("predict zoo:fashion-mnist --json").ok().objects();
    let right = objects.iter().enumerate();
    let right = right.filter(|(class, object)| object["class_index"] == *class);
    assert!(right.count() >= 8);

    let objects = place
        .run("explain zoo:mnist --prototypes top1 --sheet sheet.png --json")
        .ok()
        .objects();
    assert_eq!(objects.len(), 10);
    for (digit, object) in objects.iter().enumerate() {
        assert!(digit == 5 || object["class_index"] == digit, "{object}");
        let picture = format!("explanations/sample-{digit}.png");
        assert_eq!(object["picture"], picture);
        image::open(place.path(&picture)).unwrap();
    }
    image::open(place.path("sheet.png")).unwrap();
}

#[test]
fn pictures_of_the_user_s_are_judged_and_strange_ones_called_strange() {
    let place = Place::new();
    let ring = |x: f64, y: f64| ((x - 14.0).hypot(y - 14.0) - 7.0).abs();
    let picture = image::GrayImage::from_fn(28, 28, |x, y| {
        image::Luma([(255.0 * (2.2 - ring(f64::from(x), f64::from(y))).clamp(0.0, 1.0)) as u8])
    });
    picture.save(place.path("ring.png")).unwrap();
    let checks = image::GrayImage::from_fn(28, 28, |x, y| {
        image::Luma([(x / 2 + y / 2) as u8 % 2 * 255])
    });
    checks.save(place.path("checks.png")).unwrap();
    let objects = place
        .run("predict zoo:mnist ring.png checks.png --json")
        .ok()
        .objects();
    assert_eq!(objects[0]["class"], "0");
    assert_eq!(objects[1]["abstains"], true, "{}", objects[1]);
    place
        .run("explain zoo:fashion-mnist ring.png --prototypes top1")
        .ok();
    let ran = place.run("predict zoo:mnist nothing.png");
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(ran.err.contains("nothing.png"), "{}", ran.err);
}

#[test]
fn prototypes_are_drawn_here() {
    let place = Place::new();
    let object = place.run("prototypes zoo:mnist --json").ok().object();
    assert_eq!(object["picture"], "mnist-prototypes.png");
    assert_eq!(object["per_class"], 5);
    assert_eq!(object["health"]["dead"], 0);
    image::open(place.path("mnist-prototypes.png")).unwrap();
    place.run("prototypes zoo:fashion-mnist --out p.png").ok();
    image::open(place.path("p.png")).unwrap();
}

/// The digits are among MNIST's training images, so this is no measure of the model; it is that the file is whole.
#[test]
fn the_embedded_digits_are_recognised() {
    let place = Place::new();
    let ran = place
        .run("eval zoo:mnist --set data.type=mnist-5k --json")
        .ok();
    assert!(
        ran.err
            .contains("not the data that the model was trained on")
    );
    let object = ran.object();
    assert_eq!(object["samples"], 1000);
    let accuracy = object["accuracy"].as_f64().unwrap();
    assert!((accuracy - ON_EMBEDDED).abs() < 0.0015, "{accuracy}");
    let message = place
        .run("eval zoo:fashion-mnist --set training.epochs=3")
        .fails(2);
    assert!(message.contains("only keys of the data"), "{message}");
    // Without the data themselves it is said how they are got.
    let message = place.run("eval zoo:mnist").fails_with_lines(1);
    assert!(message.contains("protovae data fetch mnist"), "{message}");
}

/// What the model of the zoo gets right of the 1,000 test images of mnist-5k.
const ON_EMBEDDED: f64 = 0.998;

#[test]
fn wrong_names_are_told_with_the_right_ones() {
    let place = Place::new();
    let message = place.run("predict zoo:mnst x.png").fails(2);
    assert!(
        message.contains("did you mean `mnist`?") && message.contains("protovae zoo"),
        "{message}"
    );
    for command in [
        "explain",
        "prototypes",
        "eval",
        "report",
        "measure",
        "export",
    ] {
        let message = place.run(&format!("{command} zoo:nothing")).fails(2);
        assert!(message.contains("there is no model `nothing`"), "{message}");
    }
    for command in ["import zoo:mnist", "train --init zoo:mnist --out run"] {
        let message = place.run(command).fails(2);
        assert!(message.contains("protovae export zoo:mnist"), "{message}");
    }
    let message = place.run("predict mnist x.png").fails(2);
    assert!(message.contains("zoo:mnist"), "{message}");
    // A file of the user's own comes first.
    place.write("zoo:mnist", "something");
    let message = place.run("predict zoo:mnist x.png").fails(1);
    assert!(message.contains("no safetensors file"), "{message}");
}

#[test]
fn a_model_of_the_zoo_goes_out_and_comes_back() {
    let place = Place::new();
    let object = place
        .run("export zoo:mnist --layout protovae --precision f16 --json")
        .ok()
        .object();
    assert_eq!(object["file"], "mnist-model-f16.safetensors");
    // As large as the file in the program.
    let listed = place.run("zoo --json").ok().objects();
    assert_eq!(object["bytes"], listed[0]["bytes"]);
    place.run("explain zoo:mnist --prototypes top1").ok();
    let digits = "explanations/sample-7.png";
    let one = place
        .run(&format!("predict zoo:mnist {digits} --json"))
        .ok()
        .out;
    let other = place
        .run(&format!(
            "predict mnist-model-f16.safetensors {digits} --json"
        ))
        .ok()
        .out;
    assert_eq!(one, other);
    // And as PyTorch's.
    place.run("export zoo:mnist --out torch.safetensors").ok();
    place.run("import torch.safetensors --out back").ok();
    let third = place
        .run(&format!("predict back {digits} --json"))
        .ok()
        .object();
    let one: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(third["probabilities"], one["probabilities"]);
    let message = place
        .run("export zoo:mnist --precision f16 --out t.safetensors")
        .fails(2);
    assert!(message.contains("--layout protovae"), "{message}");
}

#[test]
fn a_run_is_packed_as_the_zoo_has_it() {
    let place = Place::with_settings();
    place
        .run("train --config small.json --out run --quiet")
        .ok();
    let packed = place.run("zoo pack run --out small --json").ok().object();
    assert_eq!(packed["folder"], "small");
    let (exact, stored) = (&packed["accuracy_f32"], &packed["accuracy"]);
    let last = place.metrics("run").into_iter().rev();
    let last = last
        .filter(|line| line["event"] == "epoch")
        .map(|line| line["test"]["accuracy"].clone())
        .next()
        .unwrap();
    assert_eq!(*exact, last);
    let (exact, stored) = (exact.as_f64().unwrap(), stored.as_f64().unwrap());
    assert!((exact - stored).abs() <= 0.02, "{exact} {stored}");
    let sizes = ["run", "small"].map(|run| place.bytes(&format!("{run}/model.safetensors")).len());
    assert!(sizes[1] * 3 < sizes[0] * 2, "{sizes:?}");
    assert_eq!(
        place.json("small/config.json")["model"],
        place.json("run/config.json")["model"]
    );
    assert_eq!(place.metrics("small").len(), 2);
    // It is a run directory, and its only file is enough to tell strange images.
    let evaluated = place.run("eval small --json").ok().object();
    assert_eq!(evaluated["accuracy"], json!(stored));
    place.write("alone.safetensors", place.bytes("small/model.safetensors"));
    let picture = image::GrayImage::from_fn(28, 28, |x, _| image::Luma([(x * 9) as u8]));
    picture.save(place.path("ramp.png")).unwrap();
    let object = place
        .run("predict alone.safetensors ramp.png --json")
        .ok()
        .object();
    assert!(object["abstains"].is_boolean());
    place.run("report small --images 0 --predictions 1").ok();
    // Twice the same, and nothing is replaced unasked.
    let first = place.bytes("small/model.safetensors");
    let message = place.run("zoo pack run --out small").fails(2);
    assert!(message.contains("exists"), "{message}");
    let before = place.listing();
    let message = place.run("zoo pack run --out ./run --overwrite").fails(2);
    assert!(message.contains("the run itself"), "{message}");
    assert_eq!(place.listing(), before);
    place.run("zoo pack run --out small --overwrite").ok();
    assert!(place.bytes("small/model.safetensors") == first);
    place.run("predict small").fails_with_usage();
    let message = place
        .run("eval small --set data.type=image-folder --set data.path=.")
        .fails_with_lines(1);
    assert!(!message.is_empty());
}
