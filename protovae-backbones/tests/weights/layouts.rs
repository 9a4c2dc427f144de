//! Names and layouts, parts of models, and what goes out comes back.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use protovae_backbones::weights::{self, Layout, NamedTensor, Part, Problem, StateDict};
use protovae_core::ImageShape;
use protovae_core::model::{BoxModel, trainable_values};
use protovae_core::train::{ModelCard, save_model};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::support::{TINY, load, model, open, problems, resnet, sorted, stored, tiny_model};

#[test]
fn layers_of_a_sequential_may_stand_at_other_places() {
    let tensors = weights::export(&tiny_model(1), Layout::Reference2022).unwrap();
    // Without the layer that flattens, and with pooling before the normalisation.
    let moved: Vec<NamedTensor> = tensors
        .iter()
        .map(|tensor| NamedTensor {
            name: match tensor.name.as_str() {
                "features.2.weight" => "features.3.weight".into(),
                "features.2.bias" => "features.3.bias".into(),
                "features.2.running_mean" => "features.3.running_mean".into(),
                "features.2.running_var" => "features.3.running_var".into(),
                "features.5.weight" => "features.4.weight".into(),
                "features.5.bias" => "features.4.bias".into(),
                "features.7.weight" => "features.16.weight".into(),
                "features.7.bias" => "features.16.bias".into(),
                name => name.into(),
            },
            ..tensor.clone()
        })
        .collect();
    let loaded = load(&stored(&moved), Layout::Reference2022).unwrap();
    let again = weights::export(&loaded, Layout::Reference2022).unwrap();
    assert_eq!(again, tensors);
    // What is missing then is called by its name in the file.
    let mut fewer = moved;
    fewer.retain(|tensor| tensor.name != "features.16.bias");
    let found = problems(load(&stored(&fewer), Layout::Reference2022));
    let missing = |problem: &Problem| matches!(problem, Problem::Missing { name, .. } if name == "features.16.bias");
    assert!(found.len() == 1 && missing(&found[0]), "{found:?}");
}

#[test]
fn wrappers_of_names_are_taken_off() {
    let tensors = weights::export(&tiny_model(1), Layout::Pytorch).unwrap();
    for wrapper in ["module.", "_orig_mod.", "state_dict.", "model.module."] {
        let wrapped: Vec<NamedTensor> = tensors
            .iter()
            .map(|tensor| NamedTensor {
                name: format!("{wrapper}{}", tensor.name),
                ..tensor.clone()
            })
            .collect();
        let stored = stored(&wrapped);
        assert_eq!(stored.layout().unwrap(), Layout::Pytorch, "{wrapper}");
        load(&stored, Layout::Pytorch).unwrap();
    }
}

#[test]
fn the_layout_is_told_by_the_names() {
    for layout in Layout::ALL {
        let model = match layout {
            Layout::Torchvision => resnet(0),
            _ => tiny_model(0),
        };
        let tensors = weights::export(&model, layout).unwrap();
        assert_eq!(stored(&tensors).layout().unwrap(), layout);
        assert_eq!(Layout::named(layout.name()), Some(layout));
    }
    let foreign = stored(&[NamedTensor {
        name: "blocks.0.attn.qkv.weight".into(),
        shape: vec![1],
        values: vec![0.0],
    }]);
    let message = foreign.layout().unwrap_err().to_string();
    assert!(
        message.contains("qkv") && message.contains("reference2022"),
        "{message}"
    );
}

#[test]
fn a_part_takes_its_share_and_leaves_the_rest() {
    let other = json!({
        "type": "protovae", "latent_dimensions": 2, "prototypes_per_class": 3,
        "encoder": {"type": "conv-pool", "widths": [2]},
        "decoder": {"type": "conv-transpose", "start": [1, 4, 4], "stages": []},
        "head": {"type": "prototype"},
    });
    let source = model(&other, TINY, 1, &Device::flex());
    for layout in [Layout::Protovae, Layout::Pytorch, Layout::Reference2022] {
        let file = stored(&weights::export(&source, layout).unwrap());
        for part in [Part::Encoder, Part::Backbone] {
            let before = weights::export(&tiny_model(5), Layout::Protovae).unwrap();
            let (loaded, report) = weights::load(tiny_model(5), &file, layout, part).unwrap();
            let after = weights::export(&loaded, Layout::Protovae).unwrap();
            let theirs = weights::export(&source, Layout::Protovae).unwrap();
            for (before, after) in before.iter().zip(&after) {
                let inside = part.contains(&after.name);
                assert_eq!(report.loaded.contains(&after.name), inside);
                assert_eq!(report.kept.contains(&after.name), !inside);
                match inside {
                    true => assert!(theirs.contains(after), "{}", after.name),
                    false => assert_eq!(before, after),
                }
            }
            assert!(after.iter().any(|tensor| part.contains(&tensor.name)));
        }
        // As a whole it does not fit.
        assert!(!weights::fits(&tiny_model(5), &file, layout, Part::All));
        assert!(weights::fits(&tiny_model(5), &file, layout, Part::Encoder));
        problems(load(&file, layout));
    }
}

#[test]
fn torchvisions_classifier_and_counters_are_left_out_and_the_tail_is_kept() {
    let mut tensors = weights::export(&resnet(1), Layout::Torchvision).unwrap();
    for (name, shape) in [("fc.weight", vec![1, 512]), ("fc.bias", vec![1])] {
        let values = vec![0.0; shape.iter().product()];
        tensors.push(NamedTensor {
            name: name.into(),
            shape,
            values,
        });
    }
    let file = stored(&tensors);
    let (loaded, report) =
        weights::load(resnet(2), &file, Layout::Torchvision, Part::Backbone).unwrap();
    assert_eq!(report.left_out, ["fc.bias", "fc.weight"]);
    assert_eq!((report.loaded.len(), report.kept.len()), (100, 6));
    assert!(
        report
            .kept
            .iter()
            .all(|path| !Part::Backbone.contains(path))
    );
    tensors.truncate(100);
    let again = weights::export(&loaded, Layout::Torchvision).unwrap();
    assert!(again == tensors);
    // A file that lacks a tensor is refused although only a part is loaded.
    tensors.retain(|tensor| tensor.name != "layer3.0.downsample.1.running_var");
    let found = problems(weights::load(
        resnet(2),
        &stored(&tensors),
        Layout::Torchvision,
        Part::Backbone,
    ));
    assert_eq!(found.len(), 1);
}

#[test]
fn loaded_models_train_what_they_trained() {
    let device = Device::flex().autodiff();
    for normalization in ["trained", "frozen"] {
        let recipe = json!({
            "type": "black-box", "latent_dimensions": 3, "head": {"type": "linear"},
            "encoder": {"type": "resnet18", "normalization": normalization},
        });
        let fresh = model(&recipe, ImageShape::new(3, 32, 32), 2, &device);
        let before = trainable_values(&fresh);
        let file = stored(&weights::export(&resnet(1), Layout::Torchvision).unwrap());
        let (loaded, _) = weights::load(fresh, &file, Layout::Torchvision, Part::Backbone).unwrap();
        assert_eq!(trainable_values(&loaded), before, "{normalization}");
    }
}

#[test]
fn a_file_is_the_same_bytes_each_time() {
    let tensors = weights::export(&tiny_model(1), Layout::Pytorch).unwrap();
    let once = weights::to_safetensors(&tensors, Some(("key", "value"))).unwrap();
    let twice = weights::to_safetensors(&tensors, Some(("key", "value"))).unwrap();
    assert_eq!(once, twice);
    let (_, header) = SafeTensors::read_metadata(&once).unwrap();
    let metadata = header.metadata().clone().unwrap();
    assert_eq!(metadata["key"], "value");
    assert_eq!(open(&once).unwrap().metadata("key"), Some("value"));
    let wrong = NamedTensor {
        name: "a".into(),
        shape: vec![3],
        values: vec![0.0],
    };
    assert!(weights::to_safetensors(&[wrong], None).is_err());
}

/// A recipe of a ProtoVAE of 8×8 images, of one or two halvings.
fn recipes() -> impl Strategy<Value = Value> {
    let width = 1usize..4;
    let encoder = (
        prop::sample::select(vec!["conv-pool", "conv-stride"]),
        prop::collection::vec(width.clone(), 1..3),
    );
    let stage = prop_oneof![
        width.clone().prop_map(|width| json!({"conv": width})),
        // Two pixels more and two fewer.
        width
            .clone()
            .prop_map(|width| json!({"conv": width, "padding": 2})),
    ];
    let decoder = (prop::collection::vec(stage, 0..3), width, any::<bool>());
    (encoder, decoder, 1usize..4, 1usize..3).prop_map(
        |((kind, widths), (mut stages, start, doubled), latent, per_class)| {
            let wide = stages.iter().filter(|stage| stage["padding"] == 2).count();
            let mut side = 8 - 2 * wide;
            if doubled && side % 2 == 0 {
                side /= 2;
                stages.insert(0, json!({"transpose": 2}));
            }
            json!({
                "type": "protovae", "latent_dimensions": latent, "prototypes_per_class": per_class,
                "encoder": {"type": kind, "widths": widths},
                "decoder": {"type": "conv-transpose", "start": [start, side, side], "stages": stages},
                "head": {"type": "prototype"},
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What goes out in any layout comes back as it was, into a model that was another.
    #[test]
    fn what_is_exported_is_imported(recipe in recipes()) {
        let image = ImageShape::new(1, 8, 8);
        let device = Device::flex();
        let source = model(&recipe, image, 1, &device);
        let expected = weights::export(&source, Layout::Protovae).unwrap();
        for layout in [Layout::Protovae, Layout::Pytorch, Layout::Reference2022] {
            let exported = weights::export(&source, layout).unwrap();
            let mut names: Vec<&str> = exported.iter().map(|tensor| tensor.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            prop_assert_eq!(names.len(), exported.len(), "{} names twice", layout);
            let target = model(&recipe, image, 2, &device);
            prop_assert!(weights::export(&target, Layout::Protovae).unwrap() != expected);
            let (loaded, _) = weights::load(target, &stored(&exported), layout, Part::All).unwrap();
            prop_assert_eq!(sorted(weights::export(&loaded, Layout::Protovae).unwrap()), sorted(expected.clone()));
        }
    }
}

/// Systems that are built on feature maps have no encoder; the trunk is the same, in SENN twice.
#[test]
fn torchvisions_weights_are_those_of_feature_maps_too() {
    let encoder = json!({"type": "resnet18"});
    let image = ImageShape::new(3, 32, 32);
    let file = stored(&weights::export(&resnet(1), Layout::Torchvision).unwrap());
    let trunk = |model: &BoxModel| {
        let exported = weights::export(model, Layout::Pytorch).unwrap();
        let of = |tensor: NamedTensor| {
            let (prefix, name) = tensor.name.split_once("features.")?;
            Some((prefix.to_string(), name.to_string(), tensor.values))
        };
        exported.into_iter().filter_map(of).collect::<Vec<_>>()
    };
    let expected = weights::export(&resnet(1), Layout::Torchvision).unwrap();
    for (recipe, count) in [
        (
            json!({"type": "protopnet", "encoder": encoder, "prototypes_per_class": 1, "channels": 4}),
            1,
        ),
        (
            json!({"type": "flint", "encoder": encoder, "attributes": 3, "latent_dimensions": 3, "stages": 1,
                "decoder": {"type": "conv-transpose", "start": [2, 16, 16], "stages": [{"transpose": 2}]}}),
            1,
        ),
        (
            json!({"type": "senn", "encoder": encoder, "concepts": 3, "latent_dimensions": 3,
                "decoder": {"type": "conv-transpose", "start": [2, 16, 16], "stages": [{"transpose": 2}]}}),
            2,
        ),
    ] {
        let fresh = model(&recipe, image, 2, &Device::flex());
        let (loaded, report) =
            weights::load(fresh, &file, Layout::Torchvision, Part::Backbone).unwrap();
        let found = trunk(&loaded);
        assert_eq!(found.len(), count * expected.len(), "{recipe}");
        assert_eq!(report.loaded.len(), found.len());
        for (_, name, values) in found {
            let same = expected.iter().find(|tensor| tensor.name == name).unwrap();
            assert!(same.values == values, "{recipe}: {name}");
        }
        assert!(report.kept.iter().all(|path| !path.contains("features.")));
        assert_eq!(
            weights::export(&loaded, Layout::Torchvision).is_ok(),
            count == 1
        );
    }
    let recipe = json!({"type": "protopnet", "encoder": {"type": "conv-pool", "widths": [2]}, "channels": 4});
    let other = model(&recipe, image, 2, &Device::flex());
    let error = weights::load(other, &file, Layout::Torchvision, Part::Backbone).unwrap_err();
    assert!(error.to_string().contains("no ResNet-18"), "{error}");
}

/// Whatever its tensors are called: its card says whose it is.
#[test]
fn a_model_file_of_any_kind_is_known_by_its_card() {
    let recipe = json!({"type": "protopnet", "encoder": {"type": "conv-pool", "widths": [2]},
        "prototypes_per_class": 1, "channels": 4});
    let image = ImageShape::new(1, 8, 8);
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let card = ModelCard::new(recipe.clone(), "protopnet".to_string(), image);
    save_model(&path, &model(&recipe, image, 1, &device), &card).unwrap();
    let file = StateDict::open(&path).unwrap();
    assert_eq!(file.layout().unwrap(), Layout::Protovae);
    let fresh = model(&recipe, image, 2, &device);
    let (loaded, report) = weights::load(fresh, &file, Layout::Protovae, Part::All).unwrap();
    assert!(report.kept.is_empty() && report.left_out.is_empty());
    let images = || Tensor::<4>::ones([2, 1, 8, 8], &device);
    let logits = |model: &BoxModel| model.predict(images()).logits.into_data();
    assert_eq!(logits(&loaded), logits(&model(&recipe, image, 1, &device)));
}
