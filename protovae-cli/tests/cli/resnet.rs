//! ResNet-18 in the program: batch normalisation trained and frozen, a rate of its own for the encoder, and runs that go on.

use serde_json::{Value, json};

use crate::support::{Place, settings};

fn with_resnet18(normalization: &str) -> Value {
    let mut config = settings();
    config["data"] = json!({"type": "mnist-5k", "train_limit": 48, "test_limit": 20});
    config["model"]["encoder"] = json!({"type": "resnet18", "normalization": normalization});
    config["training"] = json!({
        "epochs": 2, "batch_size": 16, "keep_checkpoints": 1,
        "learning_rates": {"encoder": 1e-4, "encoder.tail": 1e-3},
    });
    config
}

/// The values of a tensor of a model file, as bytes.
fn tensor(model: &[u8], name: &str) -> Vec<u8> {
    let length = u64::from_le_bytes(model[..8].try_into().unwrap()) as usize;
    let (header, values) = model[8..].split_at(length);
    let header: Value = serde_json::from_slice(header).unwrap();
    let offset = |index: usize| header[name]["data_offsets"][index].as_u64().expect(name) as usize;
    values[offset(0)..offset(1)].to_vec()
}

#[test]
fn runs_with_resnet18_go_on_exactly_in_both_modes() {
    let place = Place::new();
    for normalization in ["trained", "frozen"] {
        place.write("resnet.json", with_resnet18(normalization).to_string());
        let train = |options: &str| {
            place.run(&format!("train {options} -q")).ok();
        };
        train("--config resnet.json --out whole --overwrite");
        train("--config resnet.json --epochs 1 --out run --overwrite");
        let between = place.bytes("run/model.safetensors");
        train("--resume run --epochs 2");
        let whole = place.bytes("whole/model.safetensors");
        assert!(
            place.bytes("run/model.safetensors") == whole,
            "{normalization}"
        );
        let changed = |name: &str| tensor(&between, name) != tensor(&whole, name);

        for name in [
            "encoder.layer4.1.conv2.weight",
            "encoder.tail.hidden.weight",
        ] {
            assert!(changed(name), "{normalization}: {name}");
        }
        for name in ["running_mean", "running_var", "gamma", "beta"] {
            let name = format!("encoder.layer2.0.downsample.1.{name}");
            assert_eq!(changed(&name), normalization == "trained", "{name}");
        }
    }
}

#[test]
fn presets_have_the_papers_settings() {
    let place = Place::new();
    let shown = |preset: &str| {
        let ran = place.run(&format!("config show --preset {preset} --json"));
        ran.ok().object()
    };
    for (name, epochs, batch_size) in [
        ("mnist", 15, 128),
        ("fashion-mnist", 15, 128),
        ("cifar-10", 36, 128),
        ("quickdraw", 15, 128),
        ("svhn", 15, 64),
    ] {
        let (found, small) = (shown(&format!("{name}-resnet18")), shown(name));
        let expected = json!({"type": "resnet18", "normalization": "trained"});
        assert_eq!(found["model"]["encoder"], expected, "{name}");
        assert_eq!(found["training"]["epochs"], epochs, "{name}");
        assert_eq!(found["training"]["batch_size"], batch_size, "{name}");
        for key in [
            "decoder",
            "latent_dimensions",
            "prototypes_per_class",
            "head",
        ] {
            assert_eq!(found["model"][key], small["model"][key], "{name}");
        }
        assert_eq!(found["augmentation"], small["augmentation"], "{name}");
    }
    let faces = shown("celeba");
    let model = &faces["model"];
    assert_eq!(model["encoder"]["type"], "resnet18");
    assert_eq!(model["prototypes_per_class"], 20);
    let weights = &model["loss"]["weights"];
    assert_eq!(weights["prediction"], 1.0);
    assert_eq!(weights["reconstruction"], 1.0);
    assert_eq!(weights["orthonormality"], 10.0);
    assert_eq!(
        shown("celeba-small")["model"]["encoder"]["type"],
        "conv-pool"
    );
}

#[test]
fn rates_of_parameters_that_are_not_there_are_refused() {
    let place = Place::with_settings();
    let rates = r#"training.learning_rates={"encoder.layer1":1e-4}"#;
    for command in [
        "train --config small.json",
        "config check --config small.json",
    ] {
        let message = place.run(&format!("{command} --set {rates}")).fails(2);
        assert!(message.contains("`encoder` has blocks, "), "{message}");
        assert!(message.contains("training.learning_rates"), "{message}");
    }
    assert!(!place.path("runs").exists());
}
