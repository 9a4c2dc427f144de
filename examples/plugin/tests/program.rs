//! The plugins in the program: every command that meets a model works with them.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// A folder of its own for a test, in which the program runs.
struct Place(TempDir);

/// What the program said.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Place {
    /// A folder with `patches.json` in it, and a small picture of a digit's size.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        // As cargo says when it runs the test: with a shared target directory it may have been built in another checkout.
        let package = std::env::var_os("CARGO_MANIFEST_DIR");
        let folder = package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        std::fs::copy(folder.join("patches.json"), place.path("patches.json")).unwrap();
        // A grey picture without a decoder for pictures: the simplest BMP, 28 × 28 with a bright bar.
        std::fs::write(place.path("bar.bmp"), bar()).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the program; arguments are separated by blanks, what stands between single quotes is one.
    fn run(&self, arguments: &str) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_protovae-with-plugins"));
        for (number, part) in arguments.split('\'').enumerate() {
            match number % 2 {
                0 => command.args(part.split_whitespace()),
                _ => command.arg(part),
            };
        }
        let ran = command
            .current_dir(self.0.path())
            .env("RAYON_NUM_THREADS", "2")
            .output()
            .unwrap();
        Ran {
            code: ran.status.code(),
            out: String::from_utf8(ran.stdout).unwrap(),
            err: String::from_utf8(ran.stderr).unwrap(),
        }
    }

    /// As [`run`](Self::run) with `--json`, and must succeed with one object.
    fn object(&self, arguments: &str) -> Value {
        let ran = self.run(&format!("{arguments} --json"));
        assert_eq!(ran.code, Some(0), "{arguments}: {}{}", ran.out, ran.err);
        serde_json::from_str(ran.out.trim()).unwrap()
    }

    /// As [`run`](Self::run), and must fail with this code; the message.
    fn fails(&self, arguments: &str, code: i32) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(code), "{arguments}: {}{}", ran.out, ran.err);
        ran.err
    }

    /// Trains on a small part of the embedded set.
    fn train(&self, more: &str) {
        let few = "--set data.train_limit=1000 --set data.test_limit=100 --set training.batch_size=16 --epochs 3";
        let arguments = format!("train -q --config patches.json --out run {few} {more}");
        let ran = self.run(&arguments);
        assert_eq!(ran.code, Some(0), "{arguments}: {}{}", ran.out, ran.err);
    }
}

/// A bright vertical bar on black as an uncompressed BMP of 28 × 28 pixels of 24 bits.
fn bar() -> Vec<u8> {
    let side: u32 = 28;
    let mut bytes = b"BM".to_vec();
    let word = |bytes: &mut Vec<u8>, value: u32| bytes.extend(value.to_le_bytes());
    for value in [54 + 3 * side * side, 0, 54, 40, side, side] {
        word(&mut bytes, value);
    }
    // One plane, 24 bits a pixel; the rest may be 0.
    bytes.extend([1, 0, 24, 0]);
    bytes.resize(54, 0);
    for pixel in 0..side * side {
        let bright = (12..16).contains(&(pixel % side)) && (4..24).contains(&(pixel / side));
        bytes.extend([if bright { 230 } else { 0 }; 3]);
    }
    bytes
}

#[test]
fn an_encoder_with_layers_has_every_command() {
    let place = Place::new();
    place.train("");
    let text = std::fs::read_to_string(place.path("run/config.json")).unwrap();
    let stored: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(stored["model"]["encoder"]["type"], "patches");
    assert_eq!(
        stored["model"]["encoder"]["width"], 32,
        "defaults are written"
    );
    let accuracy = place.object("eval run")["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.5, "it learns: {accuracy}");

    let found = place.object("predict run bar.bmp --never-abstain");
    assert_eq!(found["prototypes"].as_array().unwrap().len(), 3);

    // Relevance propagation, the plugin by its name, and any explainer by its recipe.
    let small = r#"'{"type": "rise", "masks": 32, "cell": 7}'"#;
    for (method, name) in [
        ("prp", "prp"),
        ("rise", "rise"),
        (small, "rise"),
        (r#"'{"type": "occlusion", "window": 7}'"#, "occlusion"),
    ] {
        let found = place.object(&format!("explain run bar.bmp --method {method}"));
        assert_eq!(found["method"], name);
        let targets = found["targets"].as_array().unwrap();
        assert_eq!(targets.len(), 3);
        // The head has positive strengths for a class's own prototypes alone.
        assert!(targets.iter().all(|target| {
            target["class"] == found["class"] && target["contribution"].as_f64().unwrap() > 0.0
        }));
    }

    let found = place.object(&format!(
        "measure run --method {small} --images 8 --measure masking"
    ));
    let explainers: Vec<&str> = found["table"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["explainer"].as_str())
        .collect();
    assert!(explainers.contains(&"rise") && explainers.contains(&"random"));

    let found = place.object("report run --images 0 --predictions 2 --method rise");
    assert!(found["bytes"].as_u64().unwrap() > 10_000);
    let page = std::fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(page.contains("rise") && page.contains("own-class"));
}

#[test]
fn an_encoder_without_layers_has_all_but_relevance_propagation() {
    let place = Place::new();
    place.train("--set model.encoder.type=gated");
    for command in ["explain run bar.bmp", "report run --images 0"] {
        let message = place.fails(&format!("{command} -q --method prp"), 1);
        assert_eq!(
            message,
            "error: GatedEncoder models have no list of layers (`Encoder::layers`), which relevance propagation walks; \
             the gradient explainers do without\n"
        );
    }
    for method in ["gradient-times-input", "rise"] {
        let found = place.object(&format!("explain run bar.bmp --method {method}"));
        assert_eq!(found["targets"].as_array().unwrap().len(), 3);
    }
    // Of several explainers, the one that cannot be measured is left out, with the reason.
    let found = place.object(
        "measure run --images 4 --measure masking --method prp --method gradient-times-input",
    );
    let notes = found["notes"].to_string();
    assert!(
        notes.contains("prp") && notes.contains("left out"),
        "{notes}"
    );
    place.object("report run --images 0 --predictions 2 --method gradient-times-input");
}

#[test]
fn a_wrong_method_is_told_with_the_right_ones() {
    let place = Place::new();
    let message = place.fails("explain run bar.bmp --method rice", 2);
    for name in ["`rice`", "`prp`", "`rise`", "`random`", "\"type\""] {
        assert!(message.contains(name), "{name}: {message}");
    }
    let message = place.fails(r#"report run --method '{"type": "rise", "mask": 4}'"#, 2);
    assert!(
        message.contains("`mask`") && message.contains("`masks`"),
        "{message}"
    );
    let message = place.fails(r#"measure run --method '{"type": "rise", "masks": 0}'"#, 2);
    assert!(message.contains("masks: must lie between"), "{message}");
    let help = place.run("explain --help").out;
    assert!(help.contains("rise"), "{help}");
}
