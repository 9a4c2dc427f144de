//! What a cue does to a model whose prototypes are pixels, by hand.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;
use protovae_core::model::{BoxModel, Mode, Model, Prediction, Region, StepOutput, replaced};
use protovae_core::plugin::{Explainer, Explanation, PrototypeBank, Target, without_columns};
use protovae_core::train::Batch;
use protovae_core::{Error, ImageShape, Result};
use protovae_explain::measures::{
    ClassMeans, Cue, CueMeasure, CueSubject, PrototypePicture, decoded_pictures,
};

use super::support::{SHAPE, linear};

/// Latents are the pixels, and so are prototypes: similarity `exp(−|x − p|²)`, weight 1 for the own class and −0.5 for the other,
/// two classes of two.
#[derive(Module, Debug)]
struct Pixels {
    prototypes: Param<Tensor<2>>,
    weights: Param<Tensor<2>>,
}

impl Model for Pixels {
    fn kind(&self) -> &'static str {
        "pixels"
    }
    fn losses(&self, _batch: &Batch, _mode: Mode) -> StepOutput {
        unimplemented!("not trained")
    }
    fn predict(&self, images: Tensor<4>) -> Prediction {
        let [samples, ..] = images.dims();
        let latents = images.reshape([samples, 4]);
        let apart = latents.clone().unsqueeze_dim::<3>(1) - self.prototypes.val().unsqueeze_dim(0);
        let similarities: Tensor<2> = apart.powf_scalar(2.0).sum_dim(2).squeeze_dim(2);
        let similarities = similarities.neg().exp();
        Prediction {
            logits: similarities.clone().matmul(self.weights.val().transpose()),
            similarities: Some(similarities),
            latents: Some(latents),
        }
    }
    fn image_shape(&self) -> ImageShape {
        SHAPE
    }
    fn classes(&self) -> usize {
        2
    }
    fn prototypes(&self) -> Option<PrototypeBank> {
        Some(PrototypeBank {
            vectors: self.prototypes.val(),
            classes: 2,
            per_class: 2,
        })
    }
    fn class_weights(&self) -> Option<Tensor<2>> {
        Some(self.weights.val())
    }
    fn without_prototypes(&self, rows: &[usize]) -> Result<BoxModel> {
        let weights = without_columns(self.weights.val(), rows);
        Ok(BoxModel::new(Self {
            weights: replaced(&self.weights, weights),
            ..self.clone()
        }))
    }
    fn decode(&self, latents: Tensor<2>) -> Option<Tensor<4>> {
        let [samples, _] = latents.dims();
        Some(latents.reshape([samples, 1, 2, 2]))
    }
}

fn pixels(last: [f32; 4]) -> BoxModel {
    let device = Device::flex();
    let prototypes = [
        [-1.0, 1.0, -1.0, -1.0],
        [-1.0, -1.0, 1.0, -1.0],
        // This one shows the cue.
        [1.0, -1.0, -1.0, 1.0],
        last,
    ];
    let weights = [[1.0, 1.0, -0.5, -0.5], [-0.5, -0.5, 1.0, 1.0]];
    BoxModel::new(Pixels {
        prototypes: Param::from_tensor(Tensor::from_floats(prototypes, &device)),
        weights: Param::from_tensor(Tensor::from_floats(weights, &device)),
    })
}

/// The same for every pixel.
#[derive(Debug)]
struct Flat;

impl Explainer for Flat {
    fn name(&self) -> &str {
        "flat"
    }
    fn explain(
        &self,
        _model: &BoxModel,
        images: Tensor<4>,
        targets: &[Target],
    ) -> Result<Explanation> {
        Ok(Explanation {
            relevance: images.ones_like().neg(),
            targets: targets.to_vec(),
        })
    }
}

/// Supports no model.
#[derive(Debug)]
struct Refuses;

impl Explainer for Refuses {
    fn name(&self) -> &str {
        "refuses"
    }
    fn explain(&self, model: &BoxModel, _: Tensor<4>, _: &[Target]) -> Result<Explanation> {
        Err(Error::Unsupported {
            model: model.kind().to_string(),
            what: "wish to be explained",
        })
    }
}

/// White in the first pixel, for class 1.
fn cue() -> Cue {
    let region = Region {
        top: 0,
        left: 0,
        height: 1,
        width: 1,
    };
    Cue {
        class: 1,
        region,
        color: vec![1.0],
    }
}

fn batch(images: &[[f32; 4]], labels: &[usize]) -> Result<(Tensor<4>, Vec<usize>)> {
    let data = TensorData::new(images.concat(), [images.len(), 1, 2, 2]);
    Ok((Tensor::from_data(data, &Device::flex()), labels.to_vec()))
}

/// The mean of class 0 is −1 in the first pixel, that of class 1 −0.5.
fn subject(model: &BoxModel) -> CueSubject {
    let training = [[-1.0; 4], [-1.0; 4], [0.0, -1.0, -1.0, -1.0]];
    let pictures = decoded_pictures(model).unwrap().unwrap();
    CueSubject {
        pictures: pictures.into_iter().map(Some).collect(),
        means: ClassMeans::of(2, [batch(&training, &[0, 1, 1])]).unwrap(),
    }
}

/// With the cue the first stays what it is, the second (nearer to the prototype that shows it) does not, the third does.
const IMAGES: [[f32; 4]; 3] = [
    [-1.0, 1.0, -1.0, -1.0],
    [-1.0, -0.5, -1.0, -1.0],
    [-1.0, -1.0, -1.0, 1.0],
];
const LABELS: [usize; 3] = [0, 0, 1];

fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-6
}

#[test]
fn everything_by_hand() {
    let model = pixels([-1.0, -1.0, -1.0, 1.0]);
    // However the images come in batches.
    let whole = vec![batch(&IMAGES, &LABELS)];
    let parts = vec![
        batch(&IMAGES[..1], &LABELS[..1]),
        batch(&IMAGES[1..], &LABELS[1..]),
    ];
    let mut all = [whole, parts].into_iter().map(|batches| {
        let measure = CueMeasure::default();
        measure
            .measure(
                &model,
                &cue(),
                &subject(&model),
                &[Box::new(Refuses), Box::new(Flat)],
                batches,
            )
            .unwrap()
    });
    let found = all.next().unwrap();
    assert_eq!(all.next().unwrap(), found);
    assert!(found.notes.is_empty(), "{:?}", found.notes);
    let effect = &found.effect;
    assert_eq!((effect.accuracy.images, effect.accuracy.mean), (3, 1.0));
    assert!(near(effect.accuracy_with_cue.mean, 2.0 / 3.0));
    assert_eq!(
        (effect.class_accuracy.images, effect.class_accuracy.mean),
        (1, 1.0)
    );
    assert_eq!(effect.class_accuracy_with_cue.mean, 1.0);
    assert_eq!(
        (effect.others_taken.images, effect.others_taken.mean),
        (2, 0.0)
    );
    assert_eq!(effect.others_taken_with_cue.mean, 0.5);

    let shown = found.shown.as_ref().unwrap();
    assert_eq!(shown.classes[0].scores, [Some(0.0), Some(0.0)]);
    assert_eq!(
        (shown.classes[0].count, shown.classes[0].contrast),
        (0, Some(2.0))
    );
    // The last is 0.5 darker than the mean, and 2 from the cue.
    assert_eq!(shown.classes[1].scores, [Some(1.0), Some(0.2)]);
    assert_eq!(
        (shown.classes[1].count, shown.classes[1].contrast),
        (1, Some(1.5))
    );

    let reconstructed = found.reconstructed.as_ref().unwrap();
    assert!(near(reconstructed.without_cue.mean, 0.2));
    assert_eq!(
        (reconstructed.with_cue.images, reconstructed.with_cue.mean),
        (1, 1.0)
    );
    let relevance = found.relevance.as_ref().unwrap();
    assert_eq!((relevance.area, relevance.with_cue.images), (0.25, 3));
    assert_eq!(
        (relevance.with_cue.mean, relevance.without_cue.mean),
        (0.25, 0.25)
    );

    let without = found.without_shown.as_ref().unwrap();
    assert_eq!(
        (without.removed.as_slice(), without.left),
        ([2].as_slice(), None)
    );
    assert_eq!(without.effect.accuracy.mean, 1.0);
    assert_eq!(without.effect.accuracy_with_cue.mean, 1.0);
    assert_eq!(without.effect.others_taken_with_cue.mean, 0.0);

    let names = ["dark", "bright"].map(str::to_string);
    let text = found.text(&names);
    for words in [
        "66.7 ± 33.3 %",
        "others taken for bright",
        "1:0",
        "1.00 0.20",
        "1 of 2",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(
        found
            .markdown(&names)
            .contains("| accuracy on class bright |")
    );
}

#[test]
fn of_a_class_all_of_whose_prototypes_show_the_cue_one_is_left() {
    let model = pixels([0.5, -1.0, -1.0, 1.0]);
    let measure = |model: &BoxModel, threshold| {
        let measure = CueMeasure {
            threshold,
            ..CueMeasure::default()
        };
        measure
            .measure(
                model,
                &cue(),
                &subject(model),
                &[],
                [batch(&IMAGES, &LABELS)],
            )
            .unwrap()
    };
    let found = measure(&model, 0.5);
    // From −0.5 to the cue it is two thirds of the way.
    let score = found.shown.as_ref().unwrap().classes[1].scores[1].unwrap();
    assert!(near(score, 2.0 / 3.0));
    let without = found.without_shown.as_ref().unwrap();
    assert_eq!(
        (without.removed.as_slice(), without.left),
        ([2].as_slice(), Some(3))
    );
    assert!(found.relevance.is_none());
    let names = ["dark", "bright"].map(str::to_string);
    assert!(
        found
            .text(&names)
            .contains("1:1, which shows it least, was left")
    );
    // What is out already is neither taken out nor left in.
    let found = measure(&model.without_prototypes(&[3]).unwrap(), 0.5);
    assert!(found.without_shown.is_none());
    assert!(
        found.notes[0].contains("the one prototype"),
        "{:?}",
        found.notes
    );
    let found = measure(&model, 1.0);
    assert!(found.without_shown.is_none());
    assert!(
        found.notes[0].contains("no prototype of the cue's class"),
        "{:?}",
        found.notes
    );
}

#[test]
fn models_that_can_do_less_are_measured_as_far_as_it_goes() {
    // One prototype a class, no decoder, no class weights.
    let model = linear([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]);
    let measure = |pictures: Vec<Option<PrototypePicture>>| {
        let subject = CueSubject {
            pictures,
            means: ClassMeans::of(2, [batch(&[[-1.0; 4]; 2], &[0, 1])]).unwrap(),
        };
        let measure = CueMeasure::default();
        measure.measure(&model, &cue(), &subject, &[], [batch(&IMAGES, &LABELS)])
    };
    let found = measure(Vec::new()).unwrap();
    assert!(found.shown.is_none() && found.reconstructed.is_none());
    assert!(
        found.notes[0].contains("no prototypes that can be shown"),
        "{:?}",
        found.notes
    );
    // White in the first pixel speaks for class 0 here.
    assert_eq!(found.effect.class_accuracy_with_cue.mean, 0.0);

    let picture = |region| PrototypePicture {
        image: vec![1.0; 4],
        region,
    };
    let elsewhere = Region {
        top: 1,
        left: 0,
        height: 1,
        width: 2,
    };
    let found = measure(vec![None, Some(picture(elsewhere))]).unwrap();
    let classes = found.shown.unwrap().classes;
    assert_eq!(
        (classes[0].scores[0], classes[1].scores[0]),
        (None, Some(0.0))
    );
    assert!(measure(vec![None]).is_err());
}

#[test]
fn maps_that_nobody_can_make_are_noted() {
    let model = pixels([-1.0; 4]);
    let explainers: [Box<dyn Explainer>; 1] = [Box::new(Refuses)];
    let measure = CueMeasure::default();
    let batches = [batch(&IMAGES, &LABELS)];
    let found = measure.measure(&model, &cue(), &subject(&model), &explainers, batches);
    let found = found.unwrap();
    assert!(found.relevance.is_none());
    assert!(found.notes[0].contains("by refuses"), "{:?}", found.notes);
}

#[test]
fn of_a_part_of_an_image_counts_what_of_the_cue_lies_in_it() {
    let model = pixels([-1.0; 4]);
    let mut subject = subject(&model);
    let row = Region {
        top: 0,
        left: 0,
        height: 1,
        width: 2,
    };
    let wide = Cue {
        region: row,
        ..cue()
    };
    for (region, expected) in [
        (row, 1.0),
        (cue().region, 0.5),
        (Region { top: 1, ..row }, 0.0),
        (Region::whole(2, 2), 1.0),
    ] {
        subject.pictures[2] = Some(PrototypePicture {
            image: vec![1.0; 4],
            region,
        });
        let measure = CueMeasure::default();
        let found = measure.measure(&model, &wide, &subject, &[], [batch(&IMAGES, &LABELS)]);
        let score = found.unwrap().shown.unwrap().classes[1].scores[0];
        assert_eq!(score, Some(expected), "{region:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let model = pixels([-1.0; 4]);
    let measure = |cue: Cue, threshold, batches: Vec<Result<(Tensor<4>, Vec<usize>)>>| {
        let measure = CueMeasure { threshold, maps: 1 };
        measure.measure(&model, &cue, &subject(&model), &[], batches)
    };
    let some = || vec![batch(&IMAGES, &LABELS)];
    let region = |top, height| Region {
        top,
        height,
        ..cue().region
    };
    let with = |region| Cue { region, ..cue() };
    for wrong in [
        with(region(2, 1)),
        with(region(0, 3)),
        with(region(0, 0)),
        with(region(usize::MAX, 2)),
        Cue { class: 2, ..cue() },
        Cue {
            color: vec![1.0; 3],
            ..cue()
        },
    ] {
        assert!(matches!(
            measure(wrong, 0.5, some()),
            Err(Error::Config { .. })
        ));
    }
    assert!(measure(cue(), f64::NAN, some()).is_err());
    assert!(measure(cue(), 0.5, Vec::new()).is_err());
    assert!(measure(cue(), 0.5, vec![batch(&IMAGES, &[0, 1])]).is_err());
    assert!(measure(cue(), 0.5, vec![batch(&IMAGES, &[0, 1, 2])]).is_err());
    let large = Tensor::zeros([1, 1, 3, 3], &Device::flex());
    let found = measure(cue(), 0.5, vec![Ok((large, vec![0]))]);
    assert!(matches!(found, Err(Error::ImageShape { .. })));
    assert!(ClassMeans::of(2, [batch(&IMAGES, &[0, 1, 2])]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn scores_lie_between_what_is_there_and_the_cue(
        image in prop::array::uniform4(-1.0f32..=1.0), color in -1.0f32..=1.0, mix in 0.0f32..=1.0,
    ) {
        let cue = Cue { color: vec![color], ..cue() };
        let model = pixels(image);
        let mut subject = subject(&model);
        let score = |subject: &CueSubject| {
            let measure = CueMeasure::default();
            let found = measure.measure(&model, &cue, subject, &[], [batch(&IMAGES, &LABELS)]);
            found.unwrap().shown.unwrap().classes[1].scores[1].unwrap()
        };
        prop_assert!((0.0..=1.0).contains(&score(&subject)));
        // On the straight way from the mean to the cue the score is how far one has come.
        if (color + 0.5).abs() > 0.01 {
            let between = -0.5 + mix * (color + 0.5);
            let mut mixed = image;
            mixed[0] = between;
            subject.pictures[3] = Some(PrototypePicture { image: mixed.to_vec(), region: Region::whole(2, 2) });
            prop_assert!((score(&subject) - f64::from(mix)).abs() < 1e-4);
        }
    }

    #[test]
    fn only_the_patch_is_planted(image in prop::array::uniform4(-1.0f32..=1.0), top in 0usize..2, width in 1usize..3) {
        let region = Region { top, left: 2 - width, height: 1, width };
        let cue = Cue { region, color: vec![0.25], ..cue() };
        let (images, _) = batch(&[image, image], &[0, 0]).unwrap();
        let planted: Vec<f32> = cue.planted(images).into_data().iter::<f32>().collect();
        for (at, value) in planted.iter().enumerate() {
            let inside = at % 4 / 2 == top && at % 2 >= 2 - width;
            prop_assert_eq!(*value, if inside { 0.25 } else { image[at % 4] });
        }
    }
}
