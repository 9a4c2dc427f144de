//! KMEx: prototypes are centres of their class, and the nearest decides.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use protovae_backbones::systems::k_means;
use protovae_core::conformance;
use protovae_core::model::{BoxModel, trainable_values};
use protovae_core::random::{Purpose, stream};
use protovae_core::train::{ModelCard, RunDirectory, load_model, save_model};

use super::support::{IMAGE, SEED, SPEC, batch, config, fit, model};

const RECIPE: &str = r#"{"type": "kmex", "latent_dimensions": 4, "prototypes_per_class": 2,
    "encoder": {"type": "conv-pool", "widths": [4, 6]}}"#;

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Latents and labels of the training images, in order.
fn latents(model: &BoxModel) -> (Vec<f32>, Vec<usize>) {
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for host in [batch(12, 0), batch(12, 12), batch(7, 24)] {
        let shape = [host.labels.len(), 1, IMAGE.height, IMAGE.width];
        let images = Tensor::from_data(TensorData::new(host.images, shape), &Device::flex());
        rows.extend(values(model.predict(images).latents.unwrap()));
        labels.extend(host.labels);
    }
    (rows, labels)
}

#[test]
fn it_keeps_the_promises_of_models() {
    conformance::model(&*config(RECIPE), &SPEC).unwrap();
}

#[test]
fn prototypes_are_the_centres_of_their_class_and_name_the_nearest_image() {
    let trained = fit(model(RECIPE), 2, None, false).model;
    let bank = trained.prototypes().unwrap();
    let vectors = values(bank.vectors);
    let (rows, labels) = latents(&trained);
    let provenance = trained.provenance().unwrap();
    for class in 0..3 {
        let members: Vec<usize> = (0..labels.len())
            .filter(|row| labels[*row] == class)
            .collect();
        let own: Vec<f32> = members
            .iter()
            .flat_map(|row| rows[row * 4..(row + 1) * 4].to_vec())
            .collect();
        // The last of two epochs, with four beginnings: the same points give the same centres.
        let mut generator = stream(SEED, 1, class as u64, Purpose::Plugin);
        let expected = k_means(&own, 4, 2, 4, &mut generator, &Device::flex()).unwrap();
        for (a, b) in expected
            .centres
            .iter()
            .zip(&vectors[class * 8..(class + 1) * 8])
        {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
        for (prototype, nearest) in expected.nearest.iter().enumerate() {
            let found = provenance[class * 2 + prototype].unwrap();
            assert_eq!(found.sample, members[*nearest] as u64);
            assert_eq!(
                (found.region.height, found.region.width, found.patch),
                (8, 8, None)
            );
        }
    }
}

#[test]
fn the_class_of_the_nearest_prototype_is_predicted() {
    let trained = fit(model(RECIPE), 1, None, false).model;
    let bank = values(trained.prototypes().unwrap().vectors);
    let (rows, _) = latents(&trained);
    let rows = Tensor::<2>::from_data(TensorData::new(rows.clone(), [31, 4]), &Device::flex());
    let output = trained.classify(rows.clone()).unwrap();
    let predicted: Vec<i64> = output.logits.argmax(1).into_data().iter::<i64>().collect();
    for (row, predicted) in values(rows).chunks(4).zip(predicted) {
        let distance = |prototype: &[f32]| -> f32 {
            prototype
                .iter()
                .zip(row)
                .map(|(a, b)| (a - b) * (a - b))
                .sum()
        };
        let nearest = bank
            .chunks(4)
            .map(distance)
            .enumerate()
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap();
        assert_eq!(nearest.0 / 2, predicted as usize);
    }
}

#[test]
fn before_the_first_epoch_no_prototype_comes_from_an_image() {
    assert!(
        model(RECIPE)
            .provenance()
            .unwrap()
            .iter()
            .all(Option::is_none)
    );
}

#[test]
fn without_training_the_encoder_only_prototypes_change() {
    let frozen = RECIPE.replacen('{', r#"{"train_encoder": false, "#, 1);
    let before = model(&frozen);
    assert_eq!(trainable_values(&before), trainable_values(&model(RECIPE)));
    let after = fit(before.clone(), 1, None, false).model;
    assert_eq!(latents(&before.valid()), latents(&after));
    let vectors = |model: &BoxModel| values(model.prototypes().unwrap().vectors);
    assert_ne!(vectors(&before), vectors(&after));
}

#[test]
fn a_resumed_run_and_a_saved_model_have_the_same_prototypes() {
    let folder = tempfile::tempdir().unwrap();
    let expected = fit(model(RECIPE), 3, None, false).model;
    let run = RunDirectory::create(folder.path().join("run"), false).unwrap();
    fit(model(RECIPE), 1, Some(&run), false);
    let found = fit(model(RECIPE), 3, Some(&run), true).model;
    let vectors = |model: &BoxModel| values(model.prototypes().unwrap().vectors);
    assert_eq!(vectors(&expected), vectors(&found));
    assert_eq!(expected.provenance(), found.provenance());

    let resolved = serde_json::to_value(config(RECIPE).resolved(&SPEC).unwrap()).unwrap();
    let card = ModelCard {
        class_names: ["a", "b", "c"].map(String::from).to_vec(),
        ..ModelCard::new(resolved, "kmex".to_string(), IMAGE)
    };
    let path = folder.path().join("model.safetensors");
    save_model(&path, &found, &card).unwrap();
    let (loaded, _) = load_model(&path, &Device::flex()).unwrap();
    assert_eq!(vectors(&loaded), vectors(&found));
    assert_eq!(loaded.provenance(), found.provenance());
}

#[test]
fn it_learns_quarters() {
    let last = fit(model(RECIPE), 12, None, false).last.unwrap();
    assert!(last.test.accuracy > 0.9, "{last:?}");
    assert!(last.test.terms.contains_key("black_box_error"));
}
