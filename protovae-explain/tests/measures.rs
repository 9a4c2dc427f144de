//! The measures, on a model and on maps small enough for pencil and paper.
#![allow(clippy::unwrap_used)]

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;
use protovae_backbones as _;
use protovae_core::ImageShape;
use protovae_core::model::{BoxModel, Mode, Model, Prediction, StepOutput};
use protovae_core::plugin::{
    BoxEncoder, EncoderConfig, EncoderSpec, Explainer, Explanation, PrototypeBank, Target,
};
use protovae_core::random::Initializer;
use protovae_core::train::Batch;
use protovae_explain::explainers;
use protovae_explain::measures::{
    Attacks, Diversity, Form, Keep, Masking, Measure, Measured, Quantity, Question,
    RelevanceOrdering, Robustness, Settings, Table, compare, noise_image, pixel_maps, ranking,
};

const SHAPE: ImageShape = ImageShape {
    channels: 1,
    height: 2,
    width: 2,
};

/// Similarity `p` is `w_p · (x + 1) / 2`, class `p` has prototype `p` alone, logits are similarities.
#[derive(Module, Debug)]
struct Linear {
    weights: Param<Tensor<2>>,
    encoder: BoxEncoder,
}

impl Model for Linear {
    fn kind(&self) -> &'static str {
        "linear"
    }
    fn losses(&self, _batch: &Batch, _mode: Mode) -> StepOutput {
        unimplemented!("not trained")
    }
    fn predict(&self, images: Tensor<4>) -> Prediction {
        let [samples, ..] = images.dims();
        let bright = (images.reshape([samples, 4]) + 1.0) / 2.0;
        let similarities = bright.matmul(self.weights.val().transpose());
        Prediction {
            logits: similarities.clone(),
            similarities: Some(similarities),
            latents: None,
        }
    }
    fn image_shape(&self) -> ImageShape {
        SHAPE
    }
    fn classes(&self) -> usize {
        self.weights.dims()[0]
    }
    fn encoder(&self) -> &BoxEncoder {
        &self.encoder
    }
    fn prototypes(&self) -> Option<PrototypeBank> {
        Some(PrototypeBank {
            vectors: self.weights.val(),
            classes: self.classes(),
            per_class: 1,
        })
    }
}

fn linear(weights: [[f32; 4]; 2]) -> BoxModel {
    let config: Box<dyn EncoderConfig> =
        serde_json::from_str(r#"{"type": "conv-pool", "widths": [1]}"#).unwrap();
    let spec = EncoderSpec {
        image: SHAPE,
        latent_dimensions: 1,
    };
    let device = Device::flex();
    let encoder = config
        .build(&spec, &mut Initializer::new(0, &device))
        .unwrap();
    BoxModel::new(Linear {
        weights: Param::from_tensor(Tensor::from_floats(weights, &device)),
        encoder,
    })
}

/// Class 0 sees all four pixels, most the last; class 1 sees none well.
fn model() -> BoxModel {
    linear([[1.0, 2.0, 3.0, 4.0], [0.1, 0.1, 0.1, 0.1]])
}

fn images(values: &[[f32; 4]]) -> Tensor<4> {
    let flat = values.concat();
    let data = TensorData::new(flat, [values.len(), 1, 2, 2]);
    Tensor::from_data(data, &Device::flex())
}

/// An explainer that says the same of every image.
#[derive(Debug)]
struct Fixed(&'static str, [f32; 4]);

impl Explainer for Fixed {
    fn name(&self) -> &str {
        self.0
    }
    fn explain(
        &self,
        _model: &BoxModel,
        images: Tensor<4>,
        targets: &[Target],
    ) -> protovae_core::Result<Explanation> {
        let rows = images.dims()[0] * targets.len();
        Ok(Explanation {
            relevance: self::images(&vec![self.1; rows]),
            targets: targets.to_vec(),
        })
    }
}

/// `w_0 · (x + 1) / 2` by hand.
fn score(pixels: [f32; 4]) -> f64 {
    let weights = [1.0, 2.0, 3.0, 4.0];
    let terms = pixels.iter().zip(weights);
    terms.map(|(x, w)| f64::from((x + 1.0) / 2.0) * w).sum()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-5
}

#[test]
fn rankings_descend_and_ties_go_by_index() {
    assert_eq!(ranking(&[0.5, 2.0, -1.0, 2.0, 0.5]), [1, 3, 0, 4, 2]);
    assert_eq!(ranking(&[-0.0, 0.0, -0.0]), [0, 1, 2]);
}

#[test]
fn questions_are_the_predicted_class_and_its_nearest_prototype() {
    let x = images(&[[1.0; 4], [-1.0, -1.0, -1.0, -0.8]]);
    let similarity = Question::new(&model(), &x, Form::Similarity).unwrap();
    assert_eq!(similarity.targets, [Target::Prototype(0); 2]);
    assert!(near(similarity.scores[0], 10.0) && near(similarity.scores[1], 0.4));
    let probability = Question::new(&model(), &x, Form::Probability).unwrap();
    assert_eq!(probability.targets, [Target::Class(0); 2]);
    assert!(near(
        probability.scores[0],
        1.0 / (1.0 + (0.4f64 - 10.0).exp())
    ));
}

#[test]
fn masking_by_hand() {
    let noise: [f32; 4] = noise_image(0, SHAPE).try_into().unwrap();
    let x = [1.0, 0.5, 0.0, 1.0];
    let question = Question::new(&model(), &images(&[x]), Form::Similarity).unwrap();
    let maps = [vec![0.0, 1.0, 2.0, 3.0]];
    let measure = |masking: Masking| {
        let found = masking.measure(&model(), &images(&[x]), &question, &maps);
        let found = found.unwrap();
        (found.drops[0], found.increases[0])
    };
    let expected = |after: [f32; 4]| {
        let (before, after) = (score(x), score(after));
        let increase = if after > before { 1.0 } else { 0.0 };
        (((before - after) / before).max(0.0), increase)
    };
    let (drop, increase) = measure(Masking::default());
    let by_hand = expected([noise[0], noise[1], x[2], x[3]]);
    assert!(near(drop, by_hand.0) && increase == by_hand.1, "{drop}");
    let (drop, increase) = measure(Masking {
        keep: Keep::Least,
        ..Masking::default()
    });
    let by_hand = expected([x[0], x[1], noise[2], noise[3]]);
    assert!(near(drop, by_hand.0) && increase == by_hand.1, "{drop}");
    let (drop, _) = measure(Masking {
        share: 0.75,
        ..Masking::default()
    });
    assert!(
        near(drop, expected([noise[0], x[1], x[2], x[3]]).0),
        "{drop}"
    );
    let nothing = Masking {
        share: 1.0,
        ..Masking::default()
    };
    assert!(
        nothing
            .measure(&model(), &images(&[x]), &question, &maps)
            .is_err()
    );
    assert!(
        Masking::default()
            .measure(&model(), &images(&[x]), &question, &[vec![0.0; 3]])
            .is_err()
    );
}

#[test]
fn an_increase_is_counted_where_noise_helps() {
    // All is black but the first pixel: any noise raises the score.
    let x = [1.0, -1.0, -1.0, -1.0];
    let question = Question::new(&model(), &images(&[x]), Form::Similarity).unwrap();
    let found = Masking::default()
        .measure(
            &model(),
            &images(&[x]),
            &question,
            &[vec![3.0, 2.0, 1.0, 0.0]],
        )
        .unwrap();
    assert_eq!((found.drops[0], found.increases[0]), (0.0, 1.0));
}

#[test]
fn ordering_by_hand() {
    let noise: [f32; 4] = noise_image(0, SHAPE).try_into().unwrap();
    let x = [1.0, 0.5, 0.0, 1.0];
    let question = Question::new(&model(), &images(&[x]), Form::Similarity).unwrap();
    let ordering = RelevanceOrdering { steps: 4, seed: 0 };
    let found = ordering
        .measure(
            &model(),
            &images(&[x]),
            &question,
            &[vec![0.0, 1.0, 2.0, 3.0]],
        )
        .unwrap();
    let mut pixels = noise;
    let mut curve = vec![score(pixels) / score(x)];
    for pixel in [3, 2, 1, 0] {
        pixels[pixel] = x[pixel];
        curve.push(score(pixels) / score(x));
    }
    for (found, expected) in found.curve.iter().zip(&curve) {
        assert!(near(*found, *expected), "{found} {expected}");
    }
    let area = (curve[0] / 2.0 + curve[1] + curve[2] + curve[3] + curve[4] / 2.0) / 4.0;
    assert!(near(found.areas[0], area));
    assert!(near(found.curve[4], 1.0));
}

#[test]
fn attacks_on_a_linear_model_by_hand() {
    // The margin is (x_0 − x_1) / 2; moving both pixels by e takes e from it.
    let model = linear([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]);
    let x = images(&[
        [0.1, -0.1, 0.0, 0.0],
        [0.3, -0.3, 0.0, 0.0],
        [-0.2, 0.2, 0.0, 0.0],
        [0.9, -0.9, 0.0, 0.0],
    ]);
    let attacks = Attacks {
        epsilons: vec![0.05, 0.2, 0.5],
        ..Attacks::default()
    };
    let found = attacks.measure(&model, &x, &[0; 4]).unwrap();
    let accuracy: Vec<(f64, f64)> = found.iter().map(|a| (a.fgsm.mean, a.pgd.mean)).collect();
    assert_eq!(
        accuracy,
        [(0.75, 0.75), (0.75, 0.75), (0.5, 0.5), (0.25, 0.25)]
    );
    assert!(attacks.measure(&model, &x, &[0; 3]).is_err());
    assert!(attacks.measure(&model, &x, &[2; 4]).is_err());
    let impossible = Attacks {
        epsilons: vec![0.0],
        ..Attacks::default()
    };
    assert!(impossible.measure(&model, &x, &[0; 4]).is_err());
}

#[test]
fn maps_that_do_not_move_are_robust_and_random_ones_are_not() {
    let x = images(&[[0.5, 0.1, 0.0, 0.2], [0.9, 0.5, 0.3, -0.2]]);
    let question = Question::new(&model(), &x, Form::Similarity).unwrap();
    let robustness = Robustness::default();
    let change = |explainer: &dyn Explainer| {
        let maps = pixel_maps(&model(), explainer, &x, &question.targets).unwrap();
        robustness
            .maps(&model(), explainer, &x, &question, &maps)
            .unwrap()
    };
    assert_eq!(change(&Fixed("fixed", [1.0, 2.0, 3.0, 4.0])), [0.0, 0.0]);
    // Gradient × input of a linear model is w·x/2: it moves by at most 0.05·‖w‖/2.
    let moved = change(&*explainers::named("gradient-times-input").unwrap());
    let size = (0.5f64.powi(2) + 0.2f64.powi(2) + 0.8f64.powi(2)).sqrt();
    assert!(
        moved[0] > 0.0 && moved[0] <= 0.05 * 30f64.sqrt() / size + 1e-6,
        "{moved:?}"
    );
    let random = change(&*explainers::named("random").unwrap());
    assert!(random.iter().all(|change| *change > 0.5), "{random:?}");
    let similarities = robustness.similarities(&model(), &x).unwrap();
    assert!(
        similarities
            .iter()
            .all(|change| *change > 0.0 && *change < 0.1),
        "{similarities:?}"
    );
    let one = robustness
        .similarities(&model(), &x.narrow(0, 0, 1))
        .unwrap();
    assert_eq!(one[0], similarities[0]);
}

#[test]
fn diversity_by_hand() {
    let found = Diversity::default()
        .measure(&model(), &images(&[[1.0; 4], [0.5; 4]]), &[0, 0])
        .unwrap();
    assert_eq!(found.classes[0].usage, [2]);
    assert_eq!((found.classes[1].dead, found.dead), (1, 0.5));
    assert_eq!(found.usage_entropy, None);
    let apart = (0.9f64.powi(2) + 1.9f64.powi(2) + 2.9f64.powi(2) + 3.9f64.powi(2)).sqrt();
    assert!(near(found.class_distance, apart));
    assert_eq!(found.duplicates, 0.0);
}

fn scattered(count: usize) -> Tensor<4> {
    Device::flex().seed(9);
    Tensor::random(
        [count, 1, 2, 2],
        burn::tensor::Distribution::Uniform(0.2, 1.0),
        &Device::flex(),
    )
}

/// What each pixel adds to the score of class 0 in place of the noise, or the contrary of that.
#[derive(Debug)]
struct Contribution(&'static str, f32);

impl Explainer for Contribution {
    fn name(&self) -> &str {
        self.0
    }
    fn explain(
        &self,
        _model: &BoxModel,
        images: Tensor<4>,
        targets: &[Target],
    ) -> protovae_core::Result<Explanation> {
        assert_eq!(targets.len(), 1);
        let noise: [f32; 4] = noise_image(0, SHAPE).try_into().unwrap();
        let weights = self::images(&[[1.0, 2.0, 3.0, 4.0]]) * self.1;
        Ok(Explanation {
            relevance: (images - self::images(&[noise])) * weights,
            targets: targets.to_vec(),
        })
    }
}

#[test]
fn an_oracle_beats_the_random_map_and_an_anti_oracle_does_not() {
    let explainers: Vec<Box<dyn Explainer>> = vec![
        Box::new(Contribution("oracle", 1.0)),
        Box::new(Contribution("anti-oracle", -1.0)),
    ];
    let mut settings = Settings::default();
    settings.measures = vec![Measure::Masking, Measure::Ordering];
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
    let back: protovae_explain::measures::Comparison = serde_json::from_str(&text).unwrap();
    assert_eq!(back.table.rows.len(), found.table.rows.len());
}

#[test]
fn explainers_that_a_model_does_not_support_are_noted() {
    // The encoder's layers are exposed, but its means are not what this model is made of: prp refuses the class.
    let methods = vec![explainers::named("prp").unwrap()];
    let mut settings = Settings::default();
    settings.forms = vec![Form::Probability];
    settings.measures = vec![Measure::Masking];
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
        let scaled: Vec<f32> = map.iter().map(|value| value * scale).collect();
        let question = Question::new(&model, &x, form).unwrap();
        let masking = Masking {
            keep: if least { Keep::Least } else { Keep::Most },
            ..Masking::default()
        };
        let masked = masking.measure(&model, &x, &question, &[map.clone()]).unwrap();
        prop_assert!((0.0..=1.0).contains(&masked.drops[0]));
        prop_assert!(masked.increases[0] == 0.0 || masked.drops[0] == 0.0);
        prop_assert_eq!(
            &masked,
            &masking.measure(&model, &x, &question, &[scaled.clone()]).unwrap()
        );
        let ordering = RelevanceOrdering::default();
        let ordered = ordering.measure(&model, &x, &question, &[map]).unwrap();
        let low = ordered.curve.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ordered.curve.iter().copied().fold(0.0, f64::max);
        prop_assert!(low >= 0.0 && low - 1e-9 <= ordered.areas[0] && ordered.areas[0] <= high + 1e-9);
        prop_assert!((ordered.curve[20] - 1.0).abs() < 1e-12);
        prop_assert_eq!(&ordered, &ordering.measure(&model, &x, &question, &[scaled]).unwrap());
    }
}
