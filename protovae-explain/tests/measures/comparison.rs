//! Comparisons, tables, and what holds for all maps.

use burn::tensor::Device;
use proptest::prelude::*;
use protovae_backbones as _;
use protovae_core::model::{ModelConfig, ModelSpec};
use protovae_core::plugin::Explainer;
use protovae_core::random::Initializer;
use protovae_explain::explainers;
use protovae_explain::measures::{
    Comparison, Diversity, Form, Keep, Masking, Measure, Measured, Noise, Quantity, Question,
    RelevanceOrdering, Settings, Table, compare,
};

use crate::support::{Contribution, SHAPE, images, model, near, scattered};

#[test]
fn an_oracle_beats_the_random_map_and_an_anti_oracle_does_not() {
    let explainers: Vec<Box<dyn Explainer>> = vec![
        Box::new(Contribution("oracle", 1.0)),
        Box::new(Contribution("anti-oracle", -1.0)),
    ];
    let mut settings = Settings {
        measures: vec![Measure::Masking, Measure::Ordering],
        ..Settings::default()
    };
    // The images are noise themselves, so that noise made of them would take nothing away.
    settings.masking.noise = Noise::Uniform;
    settings.ordering.noise = Noise::Uniform;
    let mut said = Vec::new();
    let found = compare(
        &model(),
        &scattered(200),
        &[0; 200],
        explainers,
        settings,
        &mut |next| {
            said.push(next.to_string());
        },
    )
    .unwrap();
    assert_eq!(said.len(), 6, "{said:?}");
    assert!(found.notes.is_empty() && found.attacks.is_none() && found.diversity.is_none());
    for form in Form::ALL {
        for quantity in [Quantity::AverageDrop, Quantity::OrderingArea] {
            let row = |name: &str| found.table.row(name, quantity, form).unwrap();
            assert_eq!(
                row("oracle").beats_random(2.0),
                Some(true),
                "{form:?} {quantity:?}"
            );
            assert_eq!(row("anti-oracle").beats_random(2.0), Some(false));
            assert_eq!(row("random").beats_random(2.0), None);
        }
    }
    let markdown = found.markdown();
    assert!(markdown.contains("| oracle "), "{markdown}");
    assert!(markdown.contains("Average Drop ↓"), "{markdown}");
    let row = markdown
        .lines()
        .find(|line| line.starts_with("| oracle"))
        .unwrap();
    assert!(row.contains('*') && row.contains("(z -"), "{row}");
    let text = serde_json::to_string(&found).unwrap();
    let back: Comparison = serde_json::from_str(&text).unwrap();
    assert_eq!(back.table.rows.len(), found.table.rows.len());
}

#[test]
fn two_recipes_of_one_method_are_two_rows() {
    let recipes = [
        "occlusion",
        r#"{"type": "occlusion", "window": 1, "stride": 1}"#,
    ];
    let methods = recipes.map(|recipe| explainers::named(recipe).unwrap());
    let settings = Settings {
        forms: vec![Form::Probability],
        measures: vec![Measure::Ordering],
        ..Settings::default()
    };
    let found = compare(
        &model(),
        &scattered(3),
        &[0; 3],
        methods.into(),
        settings,
        &mut |_| {},
    )
    .unwrap();
    let names: Vec<&str> = found
        .table
        .rows
        .iter()
        .map(|row| row.explainer.as_str())
        .collect();
    assert_eq!(names, ["occlusion", "occlusion (2)", "random"]);
    assert!(found.markdown().contains("| occlusion (2)"));
}

#[test]
fn explainers_that_a_model_does_not_support_are_noted() {
    // The encoder's layers are exposed, but its means are not what this model is made of: prp refuses the class.
    let methods = vec![explainers::named("prp").unwrap()];
    let settings = Settings {
        forms: vec![Form::Probability],
        measures: vec![Measure::Masking],
        ..Settings::default()
    };
    let found = compare(
        &model(),
        &scattered(3),
        &[0; 3],
        methods,
        settings,
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
    assert!(
        found.notes[0].starts_with("prp (probability) is left out"),
        "{:?}",
        found.notes
    );
    assert!(found.table.rows.iter().all(|row| row.explainer == "random"));
}

#[test]
fn a_model_without_prototypes_is_measured_as_far_as_it_goes() {
    let recipe = r#"{"type": "black-box", "latent_dimensions": 4,
        "encoder": {"type": "conv-pool", "widths": [4]}, "head": {"type": "linear"}}"#;
    let config: Box<dyn ModelConfig> = serde_json::from_str(recipe).unwrap();
    let spec = ModelSpec {
        image: SHAPE,
        classes: 3,
    };
    let mut init = Initializer::new(1, &Device::flex());
    let model = config.build(&spec, &mut init).unwrap();
    let methods = ["prp", "gradient-times-input"].map(|name| explainers::named(name).unwrap());
    let settings = Settings::default();
    let found = compare(
        &model,
        &scattered(4),
        &[0; 4],
        methods.into(),
        settings,
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(found.notes.len(), 2, "{:?}", found.notes);
    assert!(found.diversity.is_none() && found.similarity_change.is_none());
    assert_eq!(found.attacks.unwrap().len(), 5);
    assert!(
        found
            .table
            .rows
            .iter()
            .all(|row| row.form == Form::Probability)
    );
    assert_eq!(found.table.rows.len(), 2 * 4);
    assert!(
        Diversity::default()
            .measure(&model, &scattered(1), &[0])
            .is_err()
    );
    assert!(Question::new(&model, &scattered(1), Form::Similarity).is_err());
}

#[test]
fn standard_errors_are_those_of_paired_differences() {
    let measured = |explainer: &str, values: &[f64]| Measured {
        explainer: explainer.to_string(),
        quantity: Quantity::AverageDrop,
        form: Form::Similarity,
        values: values.to_vec(),
    };
    let table = Table::new(
        &[
            measured("a", &[0.1, 0.4, 0.4]),
            measured("random", &[0.2, 0.6, 0.7]),
        ],
        "random",
    );
    let row = &table.rows[0];
    // Differences −0.1, −0.2, −0.3: mean −0.2, deviation 0.1.
    assert!(near(row.difference.unwrap(), -0.2));
    assert!(near(row.difference_error.unwrap(), 0.1 / 3f64.sqrt()));
    assert!(near(row.z.unwrap(), -2.0 * 3f64.sqrt()));
    assert_eq!(row.beats_random(2.0), Some(true));
    assert_eq!(row.beats_random(4.0), Some(false));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn measures_keep_their_bounds_and_do_not_see_the_scale(
        x in prop::array::uniform4(-0.9f32..1.0),
        map in prop::array::uniform4(-4i8..5),
        scale in 0.01f32..100.0,
        least: bool,
        form in prop::sample::select(Form::ALL.to_vec()),
    ) {
        let (model, x) = (model(), images(&[x]));
        let map: Vec<f32> = map.iter().map(|value| f32::from(*value) / 2.0).collect();
        let scaled = [map.iter().map(|value| value * scale).collect::<Vec<f32>>()];
        let map = [map];
        let question = Question::new(&model, &x, form).unwrap();
        let masking = Masking {
            keep: if least { Keep::Least } else { Keep::Most },
            ..Masking::default()
        };
        let masked = masking.measure(&model, &x, &question, &map).unwrap();
        prop_assert!((0.0..=1.0).contains(&masked.drops[0]));
        prop_assert!(masked.increases[0] == 0.0 || masked.drops[0] == 0.0);
        prop_assert_eq!(
            &masked,
            &masking.measure(&model, &x, &question, &scaled).unwrap()
        );
        let ordering = RelevanceOrdering::default();
        let ordered = ordering.measure(&model, &x, &question, &map).unwrap();
        let low = ordered.curve.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ordered.curve.iter().copied().fold(0.0, f64::max);
        prop_assert!(low >= 0.0 && low - 1e-9 <= ordered.areas[0] && ordered.areas[0] <= high + 1e-9);
        prop_assert!((ordered.curve[20] - 1.0).abs() < 1e-12);
        prop_assert_eq!(&ordered, &ordering.measure(&model, &x, &question, &scaled).unwrap());
    }
}
