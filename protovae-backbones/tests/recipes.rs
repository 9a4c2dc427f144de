//! Recipes in JSON, and what is said of those that cannot be.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use protovae_backbones::networks::Network;
use protovae_core::plugin::{DecoderConfig, DecoderSpec, EncoderConfig, EncoderSpec, HeadConfig};
use protovae_core::random::Initializer;
use protovae_core::train::{ModelCard, parse_model};
use protovae_core::{ImageShape, conformance};
use serde_json::json;

#[test]
fn recipes_survive_json() {
    for network in Network::ALL {
        assert_eq!(network.name().parse::<Network>().unwrap(), network);
        let text = serde_json::to_string(&network.encoder()).unwrap();
        let again: Box<dyn EncoderConfig> = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
        let text = serde_json::to_string(&network.decoder()).unwrap();
        let again: Box<dyn DecoderConfig> = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }
    assert_eq!(
        serde_json::to_string(&Network::QuickDraw.decoder()).unwrap(),
        r#"{"type":"conv-transpose","start":[128,3,3],"stages":[{"conv":64},{"transpose":64},{"conv":32},{"transpose":32},{"conv":32,"padding":2},{"transpose":32}]}"#
    );
    for (text, full) in [
        (
            r#"{"type":"prototype"}"#,
            r#"{"type":"prototype","deviation":1.0,"class_deviation":0.0}"#,
        ),
        (r#"{"type":"linear"}"#, r#"{"type":"linear"}"#),
    ] {
        let head: Box<dyn HeadConfig> = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&head).unwrap(), full);
    }
    let text = "no-such".parse::<Network>().unwrap_err().to_string();
    assert!(
        text.contains("`no-such`") && text.contains("fashion-mnist"),
        "{text}"
    );
}

/// What is said of a recipe that cannot be read.
fn refusal<T: ?Sized>(text: &str) -> String
where
    Box<T>: serde::de::DeserializeOwned,
{
    let read: std::result::Result<Box<T>, _> = serde_json::from_str(text);
    read.err().expect("refused").to_string()
}

#[test]
fn unknown_keys_and_tags_are_refused() {
    for text in [
        r#"{"type":"conv-pool","width":[3]}"#,
        r#"{"type":"conv-stride","width":[3]}"#,
    ] {
        let said = refusal::<dyn EncoderConfig>(text);
        assert!(
            said.contains("`width`") && said.contains("`widths`"),
            "{said}"
        );
    }
    let said = refusal::<dyn EncoderConfig>(r#"{"type":"conv-pol"}"#);
    assert!(
        said.contains("conv-pool") && said.contains("conv-stride"),
        "{said}"
    );
    for (text, word) in [
        (r#"{"type":"conv-transpose","stage":[]}"#, "`stage`"),
        (
            r#"{"type":"conv-transpose","stages":[{"conv":8,"stride":2}]}"#,
            "`stride`",
        ),
        (
            r#"{"type":"conv-transpose","stages":[{"conv":8,"transpose":2}]}"#,
            "either",
        ),
        (
            r#"{"type":"conv-transpose","stages":[{"padding":2}]}"#,
            "either",
        ),
        (
            r#"{"type":"conv-transpose","stages":[{"transpose":8,"padding":1}]}"#,
            "no `padding`",
        ),
    ] {
        let said = refusal::<dyn DecoderConfig>(text);
        assert!(said.contains(word), "{said}");
    }
    assert!(
        refusal::<dyn HeadConfig>(r#"{"type":"prototype","deviations":1}"#)
            .contains("`deviations`")
    );
    assert!(
        refusal::<dyn HeadConfig>(r#"{"type":"linear","deviation":1}"#).contains("`deviation`")
    );
}

fn initializer() -> Initializer {
    Initializer::new(0, &Device::flex())
}

fn encoder_error(text: &str, image: [usize; 3], latent_dimensions: usize) -> String {
    let recipe: Box<dyn EncoderConfig> = serde_json::from_str(text).unwrap();
    let [channels, height, width] = image;
    let spec = EncoderSpec {
        image: ImageShape::new(channels, height, width),
        latent_dimensions,
    };
    recipe
        .build(&spec, &mut initializer())
        .unwrap_err()
        .to_string()
}

#[test]
fn encoders_that_cannot_be_are_refused() {
    for tag in ["conv-pool", "conv-stride"] {
        let said = |widths: &str, image, latent| {
            encoder_error(
                &format!(r#"{{"type":"{tag}","widths":{widths}}}"#),
                image,
                latent,
            )
        };
        for (widths, image, words) in [
            ("[]", [1, 28, 28], "empty"),
            ("[32, 0]", [1, 28, 28], "not 0"),
            ("[4097]", [1, 28, 28], "not 4097"),
            (
                "[2, 2, 2]",
                [1, 7, 40],
                "1×7×40 images can be halved 2 times",
            ),
            ("[2]", [1, 1, 1], "halved 0 times"),
            ("[4096]", [1, 100_000, 100_000], "asks for a tensor"),
            ("[1]", [1 << 40, 4, 4], "asks for a tensor"),
            (
                "[4096, 4096, 4096, 4096, 4096, 4096]",
                [1, 64, 64],
                "weights",
            ),
        ] {
            let said = said(widths, image, 8);
            assert!(said.starts_with("model.encoder.widths: "), "{said}");
            assert!(said.contains(words), "{said}");
        }
        assert!(said("[2]", [1, 8, 8], 0).starts_with("model.latent_dimensions: "));
        assert!(said("[2]", [1, 8, 8], 60_000).starts_with("model.latent_dimensions: "));
        assert!(said("[2]", [0, 8, 8], 4).contains("0×8×8 images are empty"));
    }
}

#[test]
fn decoders_that_cannot_be_are_refused() {
    let refused = |text: &str, image: ImageShape| {
        let recipe: Box<dyn DecoderConfig> = serde_json::from_str(text).unwrap();
        let spec = DecoderSpec {
            image,
            latent_dimensions: 8,
        };
        recipe
            .build(&spec, &mut initializer())
            .unwrap_err()
            .to_string()
    };
    let grey = ImageShape::new(1, 28, 28);
    let said = refused(r#"{"type":"conv-transpose"}"#, ImageShape::new(3, 32, 32));
    assert!(said.starts_with("model.decoder.stages: "), "{said}");
    assert!(
        said.contains("make 28×28") && said.contains("have 32×32"),
        "{said}"
    );
    let huge = format!(
        r#"{{"type":"conv-transpose","start":[1,7,7],"stages":[{}{{"transpose":1}}]}}"#,
        r#"{"transpose":1},"#.repeat(70)
    );
    for (text, key, words) in [
        (
            r#"{"type":"conv-transpose","start":[8,0,7]}"#,
            "start",
            "not 0×7",
        ),
        (
            r#"{"type":"conv-transpose","start":[0,7,7]}"#,
            "start",
            "not 0",
        ),
        (
            r#"{"type":"conv-transpose","start":[4096,9999,9999]}"#,
            "start",
            "asks for a tensor",
        ),
        (
            r#"{"type":"conv-transpose","stages":[{"conv":0}]}"#,
            "stages",
            "not 0",
        ),
        (
            r#"{"type":"conv-transpose","stages":[{"conv":1,"padding":3}]}"#,
            "stages",
            "not 3",
        ),
        (
            r#"{"type":"conv-transpose","start":[1,1,1],"stages":[{"conv":1,"padding":0}]}"#,
            "stages",
            "no pixels",
        ),
        (&huge, "stages", "no pixels"),
    ] {
        let said = refused(text, grey);
        assert!(
            said.starts_with(&format!("model.decoder.{key}: ")),
            "{said}"
        );
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn feature_extractors_keep_their_promises_and_are_the_encoders_without_their_end() {
    for (recipe, image, stages) in [
        (r#"{"type": "conv-pool", "widths": [4, 6]}"#, [1, 13, 12], 2),
        (r#"{"type": "conv-pool", "widths": [5]}"#, [3, 8, 8], 1),
        (
            r#"{"type": "conv-stride", "widths": [4, 6, 3]}"#,
            [3, 16, 16],
            3,
        ),
        (r#"{"type": "resnet18"}"#, [1, 28, 28], 4),
    ] {
        let config: Box<dyn EncoderConfig> = serde_json::from_str(recipe).unwrap();
        let image = ImageShape::new(image[0], image[1], image[2]);
        conformance::features(&*config, image).unwrap();
        let device = Device::flex();
        let features = config
            .build_features(image, &mut Initializer::new(3, &device))
            .unwrap();
        assert_eq!(features.channels().len(), stages);
        let spec = EncoderSpec {
            image,
            latent_dimensions: 2,
        };
        let encoder = config
            .build(&spec, &mut Initializer::new(3, &device))
            .unwrap();
        let mut whole = LeafNames::default();
        encoder.visit(&mut whole);
        let mut part = LeafNames::default();
        features.visit(&mut part);
        let trunk: Vec<_> = whole
            .0
            .into_iter()
            .filter(|(name, _)| !name.starts_with("tail"))
            .collect();
        assert_eq!(part.0, trunk, "{recipe}");
    }
}

/// Names of parameters and the sums of their values.
#[derive(Default)]
struct LeafNames(Vec<(String, f32)>, Vec<String>);

impl ModuleVisitor for LeafNames {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let sum = param.val().sum().into_scalar::<f32>();
        self.0.push((self.1.join("."), sum));
    }
    fn enter_module(&mut self, name: &str, _: &str) {
        self.1.push(name.to_string());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.1.pop();
    }
}

/// A model file of these bytes of weights: `card` with nothing behind it but zeros.
fn model_file(image: ImageShape, model: serde_json::Value, weights: usize) -> Vec<u8> {
    let card = ModelCard {
        class_names: vec!["a".to_string(), "b".to_string()],
        ..ModelCard::new(model, "crafted".to_string(), image)
    };
    let card = serde_json::to_string(&card).unwrap();
    let header = json!({"__metadata__": {"protovae": card}}).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.resize(bytes.len() + weights, 0);
    bytes
}

/// What a card asks for is not drawn if the file cannot hold it.
#[test]
fn model_files_that_ask_for_more_than_they_hold_are_refused() {
    let vae = |widths: serde_json::Value, start: serde_json::Value, stages: serde_json::Value| {
        json!({"type": "protovae", "latent_dimensions": 2, "prototypes_per_class": 1,
            "encoder": {"type": "conv-pool", "widths": widths},
            "decoder": {"type": "conv-transpose", "start": start, "stages": stages},
            "head": {"type": "prototype"}})
    };
    let small = ImageShape::new(1, 4, 4);
    let doubled = || json!([{"transpose": 2}]);
    let wide: Vec<_> = (0..300).map(|_| json!({"conv": 4096})).collect();
    let mut wide = json!(wide);
    wide.as_array_mut().unwrap().push(json!({"transpose": 2}));
    for (image, model) in [
        (
            ImageShape::new(1 << 40, 4, 4),
            vae(json!([1]), json!([2, 2, 2]), doubled()),
        ),
        (small, vae(json!([1]), json!([2, 2, 2]), wide)),
        (small, vae(json!([4096, 4096]), json!([2, 2, 2]), doubled())),
        (small, vae(json!([1]), json!([4096, 2, 2]), doubled())),
        (
            small,
            json!({"type": "protopnet", "encoder": {"type": "conv-pool", "widths": [1]}, "channels": 4096}),
        ),
        (
            small,
            json!({"type": "kmex", "latent_dimensions": 4096, "encoder": {"type": "resnet18"}}),
        ),
    ] {
        let bytes = model_file(image, model.clone(), 1000);
        let result = parse_model(&bytes, "crafted".as_ref(), &Device::flex());
        let said = result.map(|_| ()).unwrap_err().to_string();
        assert!(
            said.contains("weights, but the model may have") || said.contains("asks for a tensor"),
            "{model}: {said}"
        );
    }
    // What fits gets as far as its tensors.
    let fits = vae(json!([1]), json!([2, 2, 2]), doubled());
    let bytes = model_file(small, fits, 10_000);
    let result = parse_model(&bytes, "crafted".as_ref(), &Device::flex());
    let said = result.map(|_| ()).unwrap_err().to_string();
    assert!(!said.contains("weights, but"), "{said}");
}
