//! Views of prototypes: by hand on small tables, and on a small model.
#![allow(clippy::unwrap_used)]

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use proptest::prelude::*;
use protovae_backbones as _;
use protovae_core::model::{BoxModel, ModelConfig, ModelSpec};
use protovae_core::random::Initializer;
use protovae_core::{Error, ImageShape};
use protovae_explain::explainers;
use protovae_explain::pictures::reconstruction_grid;
use protovae_explain::views::{
    Evidence, ExplainedImage, LatentMap, LatentTable, Neighbours, Path, PrototypeChoice,
    StrangenessDetector, Usage, nearest_of_another_class,
};

fn model(recipe: &str) -> BoxModel {
    let config: Box<dyn ModelConfig> = serde_json::from_str(recipe).unwrap();
    let spec = ModelSpec {
        image: ImageShape::new(1, 8, 8),
        classes: 3,
    };
    let mut init = Initializer::new(1, &Device::flex().autodiff());
    config.build(&spec, &mut init).unwrap().valid()
}

fn protovae() -> BoxModel {
    model(
        r#"{"type": "protovae", "latent_dimensions": 4, "prototypes_per_class": 2,
        "encoder": {"type": "conv-pool", "widths": [4, 6]},
        "decoder": {"type": "conv-transpose", "start": [4, 4, 4], "stages": [{"transpose": 4}]},
        "head": {"type": "prototype"}}"#,
    )
}

fn black_box() -> BoxModel {
    model(
        r#"{"type": "black-box", "latent_dimensions": 4,
        "encoder": {"type": "conv-pool", "widths": [4, 6]}, "head": {"type": "linear"}}"#,
    )
}

fn images(count: usize) -> Tensor<4> {
    let device = Device::flex();
    device.seed(3);
    Tensor::random([count, 1, 8, 8], Distribution::Uniform(-1.0, 1.0), &device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn table_of(model: &BoxModel, batches: &[usize]) -> LatentTable {
    let all = images(batches.iter().sum());
    let mut start = 0;
    let batches = batches.iter().map(|count| {
        let part = all.clone().narrow(0, start, *count);
        let labels = (start..start + count).map(|index| index % 3).collect();
        start += count;
        Ok::<_, Error>((part, labels))
    });
    LatentTable::new(model, batches).unwrap()
}

/// Two classes with two prototypes each in the plane: class 0 at (0, 0) and (4, 0), class 1 at (0, 10) and (0, 10.01).
fn plane(means: &[[f32; 2]], labels: &[usize]) -> LatentTable {
    let prototypes = [[0.0, 0.0], [4.0, 0.0], [0.0, 10.0], [0.0, 10.01]];
    let square = |a: &[f32; 2], b: &[f32; 2]| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
    LatentTable {
        latent_dimensions: 2,
        classes: 2,
        per_class: 2,
        labels: labels.to_vec(),
        predicted: labels.to_vec(),
        probability: vec![1.0; labels.len()],
        means: means.concat(),
        prototypes: prototypes.concat(),
        distances: means
            .iter()
            .flat_map(|mean| {
                prototypes
                    .iter()
                    .map(move |prototype| square(mean, prototype))
            })
            .collect(),
        similarities: Vec::new(),
        reconstruction_errors: Vec::new(),
    }
}

#[test]
fn the_table_is_what_the_model_says_in_whatever_batches() {
    let model = protovae();
    let whole = table_of(&model, &[10]);
    let parts = table_of(&model, &[3, 6, 1]);
    assert_eq!(whole.labels, parts.labels);
    let prediction = model.predict(images(10));
    assert_eq!(whole.means, values(prediction.latents.clone().unwrap()));
    for (a, b) in whole.means.iter().zip(&parts.means) {
        assert!((a - b).abs() < 1e-5);
    }
    let similarities = values(prediction.similarities.unwrap());
    for index in 0..10 {
        // Nearer prototypes are more similar ones.
        let distances = whole.distances(index).unwrap();
        let row = &similarities[index * 6..(index + 1) * 6];
        let order = |values: &[f32], sign: f32| {
            let mut order: Vec<usize> = (0..6).collect();
            order.sort_by(|a, b| (sign * values[*a]).total_cmp(&(sign * values[*b])));
            order
        };
        assert_eq!(order(distances, 1.0), order(row, -1.0));
        assert!(whole.probability[index] >= 1.0 / 3.0);
    }
    let decoded = model.decode(prediction.latents.unwrap()).unwrap();
    let errors = (decoded - images(10))
        .powi_scalar(2)
        .reshape([10, 64])
        .mean_dim(1);
    for (found, expected) in whole.reconstruction_errors.iter().zip(values(errors)) {
        assert!((found - expected).abs() < 1e-5);
    }
    let confusion = whole.confusion();
    let right: u64 = (0..3).map(|class| confusion[class][class]).sum();
    assert!((whole.accuracy() - right as f64 / 10.0).abs() < 1e-12);
    assert!(whole.mean(10).is_none() && whole.prototype(6).is_none());
}

#[test]
fn a_model_without_prototypes_has_a_table_without_them() {
    let table = table_of(&black_box(), &[4]);
    assert_eq!((table.len(), table.prototype_count()), (4, 0));
    assert!(table.distances(0).is_none() && table.reconstruction_errors.is_empty());
    assert!(Usage::of(&table).is_none());
    assert!(Neighbours::of(&table, 3).nearest.is_empty());
    assert!(StrangenessDetector::of(&table, 0.01).is_err());
}

#[test]
fn labels_that_do_not_match_and_broken_batches_are_errors() {
    let wrong = [Ok::<_, Error>((images(2), vec![0]))];
    assert!(LatentTable::new(&protovae(), wrong).is_err());
    let broken = [Err(Error::config("data", "gone"))];
    let error = LatentTable::new(&protovae(), broken).unwrap_err();
    assert!(error.to_string().contains("gone"));
}

#[test]
fn images_that_the_model_does_not_take_are_errors() {
    let large = Tensor::<4>::zeros([2, 1, 9, 8], &Device::flex());
    let batch = [Ok::<_, Error>((large.clone(), vec![0, 1]))];
    let told = |error: Error| {
        let said = error.to_string();
        assert!(said.contains("1×9×8") && said.contains("1×8×8"), "{said}");
    };
    told(LatentTable::new(&protovae(), batch).unwrap_err());
    told(Evidence::of(&protovae(), large.clone()).unwrap_err());
    let error = reconstruction_grid(&protovae(), large.clone(), 1).unwrap_err();
    assert!(error.to_string().contains("1×9×8"), "{error}");
    let explainer = explainers::named("prp").unwrap();
    let one = large.narrow(0, 0, 1);
    let choice = PrototypeChoice::All;
    let error = ExplainedImage::new(&protovae(), &*explainer, one, &choice).unwrap_err();
    assert!(error.to_string().contains("1×9×8"), "{error}");
}

#[test]
fn neighbours_by_hand() {
    let table = plane(
        &[[1.0, 0.0], [0.0, 9.0], [3.0, 0.0], [0.0, 2.0], [1.0, 0.0]],
        &[0, 1, 0, 1, 0],
    );
    let neighbours = Neighbours::of(&table, 2);
    let rows = |list: &[protovae_explain::views::Neighbour]| -> Vec<usize> {
        list.iter().map(|neighbour| neighbour.image).collect()
    };
    // Of two at the same place the first comes first.
    assert_eq!(rows(&neighbours.nearest[0]), [0, 4]);
    assert_eq!(rows(&neighbours.nearest[1]), [2, 0]);
    assert_eq!(rows(&neighbours.nearest[2]), [1, 3]);
    assert_eq!(rows(&neighbours.farthest_of_class[0]), [2, 0]);
    assert_eq!(rows(&neighbours.nearest_of_class[2]), [1, 3]);
    assert!((neighbours.nearest[2][1].squared_distance - 64.0).abs() < 1e-4);
    assert!(Neighbours::of(&table, 0).nearest[0].is_empty());
    assert_eq!(Neighbours::of(&table, 99).farthest_of_class[3].len(), 2);
}

#[test]
fn usage_by_hand() {
    let table = plane(
        &[[1.0, 0.0], [0.0, 9.0], [0.5, 0.0], [0.0, 2.0], [1.0, 0.0]],
        &[0, 1, 0, 1, 0],
    );
    let usage = Usage::of(&table).unwrap();
    assert_eq!(usage.nearest_of_all, [4, 0, 1, 0]);
    assert_eq!(usage.nearest_of_class, [3, 0, 2, 0]);
    assert_eq!(usage.dead, [1, 3]);
    assert_eq!(usage.duplicates.len(), 1);
    assert_eq!(usage.duplicates[0].prototypes, [2, 3]);
    let warnings = usage.warnings(&["cat".into(), "dog".into()], 2);
    assert!(warnings[0].contains("cat #1, dog #1"), "{warnings:?}");
    assert!(
        warnings[1].contains("dog #0 and dog #1 say the same"),
        "{warnings:?}"
    );
}

#[test]
fn contributions_add_up_to_the_logit() {
    let model = protovae();
    let prediction = model.predict(images(5));
    let logits = values(prediction.logits.clone());
    let probabilities = values(softmax(prediction.logits, 1));
    let evidence = Evidence::of(&model, images(5)).unwrap();
    assert_eq!(evidence.len(), 5);
    for (index, found) in evidence.iter().enumerate() {
        let row = &logits[index * 3..(index + 1) * 3];
        assert!(row.iter().all(|logit| *logit <= found.logit));
        assert_eq!(found.logit, row[found.class]);
        assert_eq!(found.probability, probabilities[index * 3 + found.class]);
        let total: f32 = found
            .contributions
            .iter()
            .map(|each| each.contribution)
            .sum();
        assert!((total + found.rest - found.logit).abs() < 1e-4);
        assert!(found.rest.abs() < 1e-4, "the head has no bias");
        let shares: f32 = found.contributions.iter().map(|each| each.share).sum();
        assert!((shares - 1.0).abs() < 1e-4);
        let separates: f32 = found.contributions.iter().map(|each| each.separates).sum();
        assert!((separates - (found.logit - row[found.runner_up])).abs() < 1e-4);
        assert!(
            found
                .contributions
                .windows(2)
                .all(|pair| pair[0].contribution >= pair[1].contribution)
        );
        assert!(
            found
                .contributions
                .iter()
                .all(|each| each.class * 2 + each.index == each.prototype)
        );
    }
    let error = Evidence::of(&black_box(), images(1)).unwrap_err();
    assert!(error.to_string().contains("prototypes"), "{error}");
}

#[test]
fn a_path_turns_where_the_decision_does() {
    let model = protovae();
    let bank = model.prototypes().unwrap();
    let prototypes = values(bank.vectors.clone());
    // Between prototypes of two classes the decision must turn, if each is taken for its own class.
    let classified = values(model.classify(bank.vectors).unwrap().logits);
    let own = |row: usize| {
        let logits = &classified[row * 3..(row + 1) * 3];
        logits.iter().all(|logit| *logit <= logits[row / 2])
    };
    let pairs = (0..6).flat_map(|a| (0..6).map(move |b| (a, b)));
    let mut seen = 0;
    for (a, b) in pairs.filter(|(a, b)| a / 2 != b / 2 && own(*a) && own(*b)) {
        seen += 1;
        let (from, to) = (
            &prototypes[a * 4..(a + 1) * 4],
            &prototypes[b * 4..(b + 1) * 4],
        );
        let path = Path::between(&model, from, to, 7).unwrap();
        assert_eq!(path.steps.len(), 7);
        assert_eq!((path.steps[0].class, path.steps[6].class), (a / 2, b / 2));
        assert_eq!(path.steps[0].image.len(), 64);
        let turn = path.turn.unwrap();
        let class_at = |way: f32| {
            let latent: Vec<f32> = from
                .iter()
                .zip(to)
                .map(|(a, b)| a + way * (b - a))
                .collect();
            let latent = Tensor::<2>::from_data(TensorData::new(latent, [1, 4]), &Device::flex());
            let logits = values(model.classify(latent).unwrap().logits);
            (0..3)
                .max_by(|x, y| logits[*x].total_cmp(&logits[*y]))
                .unwrap()
        };
        assert_ne!(class_at(turn), a / 2);
        assert_eq!(class_at(turn - 0.002), a / 2);
        assert_ne!(path.counterfactual.unwrap().class, a / 2);
    }
    assert!(seen > 0, "some prototypes are taken for their own class");
    assert!(Path::between(&model, &[0.0; 4], &[0.0; 3], 5).is_err());
    assert!(Path::between(&model, &[0.0; 4], &[1.0; 4], 1).is_err());
    let still = Path::between(&model, &[0.0; 4], &[0.0; 4], 2).unwrap();
    assert!(still.turn.is_none() && still.counterfactual.is_none());
    assert_eq!(
        nearest_of_another_class(&[0.0, 1.0], &[0., 0., 9., 9., 1., 1., 0., 3.], 2, 0),
        Some(2)
    );
    assert_eq!(
        nearest_of_another_class(&[0.0, 1.0], &[0., 0., 9., 9.], 2, 0),
        None
    );
}

#[test]
fn the_map_shows_the_directions_of_largest_variance() {
    // Along (3, 4)/5 the means vary by 25 times as much as across.
    let means: Vec<[f32; 2]> = [(-2., 0.), (2., 0.), (0., -0.4), (0., 0.4)]
        .map(|(along, across): (f32, f32)| {
            [
                1.0 + 0.6 * along - 0.8 * across,
                2.0 + 0.8 * along + 0.6 * across,
            ]
        })
        .into();
    let map = LatentMap::of(&plane(&means, &[0, 0, 1, 1])).unwrap();
    assert!((map.explained[0] - 25.0 / 26.0).abs() < 1e-4);
    assert!((map.explained[0] + map.explained[1] - 1.0).abs() < 1e-5);
    assert!((map.images[0][0] + 2.0).abs() < 1e-4 && (map.images[1][0] - 2.0).abs() < 1e-4);
    assert!((map.images[2][1].abs() - 0.4).abs() < 1e-4);
    // Prototype (4, 0) lies at (3, −2) from the center.
    assert!((map.prototypes[1][0] - (3.0 * 0.6 - 2.0 * 0.8)).abs() < 1e-4);
    assert!(LatentMap::of(&plane(&[[1.0, 1.0]], &[0])).is_none());
    let same = LatentMap::of(&plane(&[[1.0, 1.0]; 3], &[0; 3])).unwrap();
    assert!(same.images.iter().flatten().all(|value| value.abs() < 1e-6));
}

proptest! {
    #[test]
    fn a_detector_rejects_its_share_of_what_it_learned_from(
        figures in prop::collection::vec((1e-3f32..1e3, 1e-3f32..10.0), 20..300),
        share in 0.01f64..0.5,
    ) {
        let (distances, errors): (Vec<f32>, Vec<f32>) = figures.into_iter().unzip();
        let detector = StrangenessDetector::fit(&distances, &errors, share).unwrap();
        let judged = distances.iter().zip(&errors).map(|(a, b)| detector.judge(*a, Some(*b)));
        let strange = judged.filter(|judgement| judgement.strange).count();
        prop_assert!(strange <= (share * distances.len() as f64) as usize);
        // Never less strange for being farther away or worse reconstructed.
        let score = |distance, error| detector.judge(distance, Some(error)).score;
        prop_assert!(score(2.0, 1.0) >= score(1.0, 1.0) && score(1.0, 2.0) >= score(1.0, 1.0));
        prop_assert!(detector.judge(1e9, Some(1e9)).strange);
        prop_assert!(detector.judge(f32::NAN, None).strange);
        let text = serde_json::to_string(&detector).unwrap();
        let back: StrangenessDetector = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(back.judge(3.0, Some(2.0)).strange, detector.judge(3.0, Some(2.0)).strange);
    }
}

#[test]
fn a_detector_says_why_and_takes_no_nonsense() {
    let even: Vec<f32> = (1..=1000)
        .map(|value| 1.0 + value as f32 / 1000.0)
        .collect();
    let detector = StrangenessDetector::fit(&even, &even, 0.01).unwrap();
    let both = detector.judge(9.0, Some(9.0));
    assert!(
        both.strange && both.reason.contains("prototype") && both.reason.contains("reconstructed")
    );
    let poor = detector.judge(1.5, Some(9.0));
    assert!(
        poor.strange && poor.reason == "reconstructed worse than every held-out image",
        "{poor:?}"
    );
    let usual = detector.judge(1.5, Some(1.2));
    assert!(!usual.strange && usual.reason.contains("50 %"), "{usual:?}");
    assert!(StrangenessDetector::fit(&[], &[], 0.1).is_err());
    assert!(StrangenessDetector::fit(&[1.0, 2.0], &[1.0], 0.1).is_err());
    assert!(StrangenessDetector::fit(&[f32::NAN], &[], 0.1).is_err());
    assert!(StrangenessDetector::fit(&[1.0], &[], 1.5).is_err());
    assert!(serde_json::from_str::<StrangenessDetector>(r#"{"threshold": 1}"#).is_err());
}
