//! Concepts: what they stand for, and their part in predictions.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use protovae_backbones as _;
use protovae_core::model::{BoxModel, ModelConfig, ModelSpec};
use protovae_core::random::{Initializer, Purpose, normal_rows};
use protovae_core::{Error, ImageShape};
use protovae_explain::explainers;
use protovae_explain::pictures::concept_panel;
use protovae_explain::views::{
    ConceptEvidence, ConceptTable, ExplainedImage, PrototypeChoice, has_concepts,
};

const SPEC: ModelSpec = ModelSpec {
    image: ImageShape::new(1, 8, 8),
    classes: 3,
};

fn model(recipe: &str) -> BoxModel {
    let config: Box<dyn ModelConfig> = serde_json::from_str(recipe).unwrap();
    let device = Device::flex().autodiff();
    config
        .build(&SPEC, &mut Initializer::new(2, &device))
        .unwrap()
        .valid()
}

fn with_concepts() -> [BoxModel; 2] {
    let rest = r#""latent_dimensions": 4, "encoder": {"type": "conv-pool", "widths": [4, 6]},
        "decoder": {"type": "conv-transpose", "start": [4, 4, 4], "stages": [{"transpose": 4}]}}"#;
    [
        model(&format!(r#"{{"type": "senn", "concepts": 5, {rest}"#)),
        model(&format!(r#"{{"type": "flint", "attributes": 5, {rest}"#)),
    ]
}

fn images(count: usize) -> Tensor<4> {
    let indices: Vec<u64> = (0..count as u64).collect();
    normal_rows(1, 0, &indices, 64, Purpose::Plugin, &Device::flex()).reshape([count, 1, 8, 8])
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[test]
fn a_table_holds_what_the_model_says_however_it_is_cut_into_batches() {
    for model in with_concepts() {
        assert!(has_concepts(&model));
        let all = images(7);
        let labels = vec![0, 1, 2, 0, 1, 2, 0];
        let whole = ConceptTable::new(&model, [Ok::<_, Error>((all.clone(), labels.clone()))]);
        let whole = whole.unwrap();
        let cut = [(0, 3), (3, 4)].map(|(start, count)| {
            let labels = labels[start..start + count].to_vec();
            Ok::<_, Error>((all.clone().narrow(0, start, count), labels))
        });
        let cut = ConceptTable::new(&model, cut).unwrap();
        assert_eq!(
            (whole.len(), whole.concepts, whole.classes),
            (7, 5, 3),
            "{}",
            model.kind()
        );
        assert_eq!(whole.predicted, cut.predicted);
        let near = |a: &[f32], b: &[f32]| {
            assert_eq!(a.len(), b.len());
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= 1e-4 * (1.0 + b.abs()), "{a} and {b}");
            }
        };
        near(&whole.activations, &cut.activations);
        near(&whole.mean_weights, &cut.mean_weights);
        near(&whole.mean_contributions, &cut.mean_contributions);

        // By hand.
        let concepts = model.concepts(all.clone()).unwrap();
        near(&whole.activations, &values(concepts.activations.clone()));
        near(
            &whole.mean_weights,
            &values(concepts.weights.clone().mean_dim(0)),
        );
        let contributions = values(concepts.contributions());
        let mut sums = vec![0f32; 15];
        for (image, class) in whole.predicted.iter().enumerate() {
            let taken = whole
                .predicted
                .iter()
                .filter(|other| *other == class)
                .count();
            for concept in 0..5 {
                let at = class * 5 + concept;
                sums[at] += contributions[image * 15 + at] / taken as f32;
            }
        }
        near(&whole.mean_contributions, &sums);

        for concept in 0..5 {
            let ranked = whole.most(concept, 99);
            let some = whole.activations.iter().skip(concept).step_by(5);
            let some = some.filter(|activation| **activation != 0.0).count();
            assert_eq!(ranked.len(), some);
            if some == 0 {
                continue;
            }
            assert!(ranked.is_sorted_by(|a, b| a.activation >= b.activation));
            assert_eq!(ranked[0].label, labels[ranked[0].image]);
            assert_eq!(
                whole.least(concept, 1)[0].activation,
                ranked[some - 1].activation
            );
            assert!((0.0..=1.0).contains(&whole.activity(concept)));
            let spoken = whole.speaks_for(concept, 2);
            assert!(spoken.len() <= 2 && spoken.iter().all(|each| each.contribution > 0.0));
        }
        let signed = (0..5).any(|concept| whole.is_signed(concept));
        assert_eq!(signed, model.kind() == "senn");
        let panel = concept_panel(&whole, &[], 4, |rows| {
            let rows: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
            let rows = Tensor::from_data(TensorData::from(rows.as_slice()), &all.device());
            Ok::<_, protovae_explain::Error>(all.clone().select(0, rows))
        })
        .unwrap();
        assert!(panel.rows.len() >= 5 - whole.never_active().len());
        assert!(
            panel
                .rows
                .iter()
                .all(|row| (1..=4).contains(&row.cells.len()))
        );
        panel.draw().unwrap();
    }
}

#[test]
fn silent_concepts_are_named() {
    let table = ConceptTable {
        concepts: 3,
        classes: 2,
        labels: vec![0, 1, 1, 0],
        predicted: vec![0, 1, 1, 0],
        activations: vec![
            1.0, 0.0, 0.05, //
            0.2, 0.0, -2.0, //
            0.05, 0.0, 0.0, //
            0.0, 0.0, 1.0,
        ],
        mean_weights: vec![0.5, 1.0, 2.0, -0.5, 0.0, 1.0],
        mean_contributions: vec![0.1, 0.0, 0.3, 0.2, 0.0, -0.1],
    };
    assert_eq!(table.never_active(), [1]);
    assert_eq!(
        table.warnings(|concept| format!("concept {concept}")),
        ["active in no image: concept 1"]
    );
    // A tenth of 1 and of 2.
    assert_eq!([0, 1, 2].map(|c| table.activity(c)), [0.5, 0.0, 0.5]);
    assert_eq!([0, 1, 2].map(|c| table.is_signed(c)), [false, false, true]);
    let classes = |concept| -> Vec<usize> {
        let found = table.speaks_for(concept, 9);
        found.iter().map(|each| each.class).collect()
    };
    assert_eq!(
        [classes(0), classes(1), classes(2)],
        [vec![1, 0], vec![], vec![0]]
    );
    assert_eq!(table.speaks_for(2, 9)[0].weight, 2.0);
    assert_eq!(table.least(2, 1)[0].image, 1);
}

#[test]
fn evidence_adds_up_and_is_told() {
    for model in with_concepts() {
        let all = images(4);
        let logits = values(model.predict(all.clone()).logits);
        let found = ConceptEvidence::of(&model, all.clone()).unwrap();
        assert_eq!(found.len(), 4);
        for (evidence, logits) in found.iter().zip(logits.chunks_exact(3)) {
            let sum: f32 = evidence.contributions.iter().map(|c| c.contribution).sum();
            assert!((sum + evidence.rest - logits[evidence.class]).abs() < 1e-4);
            assert!(logits.iter().all(|logit| *logit <= logits[evidence.class]));
            assert!(
                evidence
                    .contributions
                    .is_sorted_by(|a, b| a.contribution >= b.contribution)
            );
            let shares: f32 = evidence.contributions.iter().map(|c| c.share).sum();
            assert!(shares == 0.0 || (shares - 1.0).abs() < 1e-4);
            if model.kind() == "senn" {
                assert!(evidence.rest.abs() < 1e-4, "there is no bias");
            }
        }
        let explainer = explainers::named("integrated-gradients").unwrap();
        let image = all.narrow(0, 0, 1);
        let explained =
            ExplainedImage::new(&model, &*explainer, image, &PrototypeChoice::All).unwrap();
        assert_eq!(explained.concepts.as_ref(), found.first());
        let words = explained.words(&["ant".into(), "bee".into(), "cat".into()]);
        assert!(
            words.iter().any(|sentence| sentence.contains("concept")),
            "{words:?}"
        );
        assert!(
            words.last().unwrap().starts_with("Next comes "),
            "{words:?}"
        );
    }
}

#[test]
fn models_without_concepts_have_none() {
    let black_box = model(
        r#"{"type": "black-box", "latent_dimensions": 4, "encoder": {"type": "conv-pool", "widths": [4]}, "head": {"type": "linear"}}"#,
    );
    assert!(!has_concepts(&black_box));
    let batch = [Ok::<_, Error>((images(2), vec![0, 1]))];
    let error = ConceptTable::new(&black_box, batch).unwrap_err();
    assert!(error.to_string().contains("no concepts"), "{error}");
    let error = ConceptEvidence::of(&black_box, images(2)).unwrap_err();
    assert!(error.to_string().contains("no concepts"), "{error}");
    let [senn, _] = with_concepts();
    let batch = [Ok::<_, Error>((images(2), vec![0]))];
    assert!(ConceptTable::new(&senn, batch).is_err());
}
