//! A plugin of a third party in a program of its own: this test binary, which calls the library entry.

use std::process::ExitCode;

use burn::tensor::{Device, Tensor};
use protovae_core::train::load_model;
use serde_json::json;

use crate::support::{Place, bar, settings};
use crate::third_party_encoder::ThirdPartyEncoder;

/// Runs this test binary's own `protovae`, into which the plugin is linked.
fn protovae(arguments: &[&str]) -> String {
    let all = ["protovae"].iter().chain(arguments);
    format!("{:?}", protovae_cli::run_from(all))
}

fn code(code: u8) -> String {
    format!("{:?}", ExitCode::from(code))
}

#[test]
fn a_third_partys_encoder_trains_resumes_and_is_used_from_a_file() {
    let place = Place::new();
    let mut config = settings();
    config["model"]["encoder"] = json!({"type": "third-party"});
    config["training"]["epochs"] = json!(3);
    place.write("plugin.json", config.to_string());
    let text = |name: &str| place.path(name).to_string_lossy().into_owned();
    let (config, run, short) = (text("plugin.json"), text("run"), text("short"));
    assert_eq!(
        protovae(&["train", "-q", "--config", &config, "--out", &run]),
        code(0)
    );
    let stored = place.json("run/config.json");
    assert_eq!(
        stored["model"]["encoder"],
        json!({"type": "third-party", "neurons": 12})
    );

    // Checkpoints hold the plugin's weights and their moments.
    assert_eq!(
        protovae(&[
            "train", "-q", "--config", &config, "--out", &short, "--epochs", "1"
        ]),
        code(0)
    );
    assert_eq!(
        protovae(&["train", "-q", "--resume", &short, "--epochs", "3"]),
        code(0)
    );
    assert!(place.bytes("short/model.safetensors") == place.bytes("run/model.safetensors"));
    let lines = place.metrics("run");
    let losses: Vec<f64> = lines
        .iter()
        .filter_map(|line| line["train"]["loss"].as_f64())
        .collect();
    assert!(
        losses.len() == 3 && losses[2] < losses[0],
        "it learns: {losses:?}"
    );

    image::GrayImage::from_raw(28, 28, bar(2))
        .unwrap()
        .save(place.path("bar.png"))
        .unwrap();
    let picture = text("bar.png");
    assert_eq!(protovae(&["eval", &run, "--json"]), code(0));
    assert_eq!(protovae(&["predict", &run, &picture, "--json"]), code(0));
    assert_eq!(protovae(&["prototypes", &run, "--json"]), code(0));

    let (model, card) = load_model(&place.path("run/model.safetensors"), &Device::flex()).unwrap();
    assert_eq!(card.model["encoder"]["type"], "third-party");
    assert!(
        model
            .encoder()
            .unwrap()
            .downcast_ref::<ThirdPartyEncoder>()
            .is_some()
    );
    let logits = model
        .predict(Tensor::zeros([2, 1, 28, 28], &Device::flex()))
        .logits;
    assert_eq!(logits.dims(), [2, 10]);

    // The program as it is distributed does not have the plugin, and says which it has.
    let message = place.run("predict run bar.png").fails(1);
    assert!(
        message.contains("`third-party`") && message.contains("`conv-pool`"),
        "{message}"
    );
    let message = place.run("eval run").fails(2);
    assert!(
        message.contains("model.encoder.type") && message.contains("`third-party`"),
        "{message}"
    );
}

#[test]
fn a_third_partys_settings_are_checked_like_our_own() {
    let place = Place::with_settings();
    let text = |name: &str| place.path(name).to_string_lossy().into_owned();
    let (config, run) = (text("small.json"), text("run"));
    let before = place.listing();
    for set in [
        "model.encoder.neuron=3",
        "model.encoder.neurons=0",
        "model.encoder.neurons=few",
    ] {
        let arguments = [
            "train",
            "--config",
            &config,
            "--out",
            &run,
            "--set",
            "model.encoder.type=third-party",
        ];
        assert_eq!(
            protovae(&[&arguments[..], &["--set", set]].concat()),
            code(2),
            "{set}"
        );
    }
    assert_eq!(place.listing(), before);
}
