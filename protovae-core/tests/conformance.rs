//! Each conformance check passes for plugins that keep their promises, and fails for every one that is broken.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use burn::tensor::{Device, Tensor};
use protovae_core::loss::{Convention, Distance, LossConfig};
use protovae_core::model::{BlackBoxConfig, BoxModel, ModelConfig, ModelSpec};
use protovae_core::plugin::{DecoderSpec, EncoderSpec, Explainer, Explanation, HeadSpec, Target};
use protovae_core::random::Initializer;
use protovae_core::{Error, ImageShape, Result, conformance};

use common::toys::{
    Fault, ToyDecoderConfig, ToyEncoder, ToyEncoderConfig, ToyHeadConfig, ToyModelConfig,
    toy_protovae,
};

const IMAGE: ImageShape = ImageShape::new(2, 3, 4);
const ENCODER: EncoderSpec = EncoderSpec {
    image: IMAGE,
    latent_dimensions: 5,
};
const DECODER: DecoderSpec = DecoderSpec {
    image: IMAGE,
    latent_dimensions: 5,
};
const HEAD: HeadSpec = HeadSpec {
    latent_dimensions: 5,
    classes: 3,
    prototypes_per_class: 2,
    distance: Distance::Squared,
    similarity_epsilon: 1e-4,
};
const MODEL: ModelSpec = ModelSpec {
    image: IMAGE,
    classes: 3,
};

/// The broken promise is reported as such, by the plugin's kind and name, with what was expected and found.
#[track_caller]
fn assert_breaks(result: Result<()>, kind: &str, in_name: &str, about: &str) {
    match result {
        Err(Error::Contract {
            plugin,
            name,
            reason,
        }) => {
            assert_eq!(plugin, kind);
            assert!(name.contains(in_name), "{name}");
            assert!(reason.contains(about), "`{about}` is not in: {reason}");
            let told = reason.contains("expected") && reason.contains("found")
                || reason.contains("cannot be");
            assert!(told, "{reason}");
        }
        other => panic!("expected a broken contract about {about}, found {other:?}"),
    }
}

#[test]
fn good_plugins_pass() {
    conformance::encoder(&ToyEncoderConfig::default(), &ENCODER).unwrap();
    conformance::decoder(&ToyDecoderConfig::default(), &DECODER).unwrap();
    for distance in [Distance::Squared, Distance::Euclidean] {
        for prototypes_per_class in [1, 4] {
            let spec = HeadSpec {
                distance,
                prototypes_per_class,
                ..HEAD
            };
            conformance::head(&ToyHeadConfig::default(), &spec).unwrap();
        }
    }
    conformance::model(&ToyModelConfig::default(), &MODEL).unwrap();
}

#[test]
fn the_models_of_this_crate_pass() {
    for convention in [
        Convention::Paper,
        Convention::Reference2022,
        Convention::SampledMean,
    ] {
        for per_class in [1, 3] {
            let config = toy_protovae(4, per_class, LossConfig::new(convention));
            conformance::model(&config, &MODEL).unwrap();
        }
    }
}

/// A black box classifies the mean alone; parameters of the log variance have no gradient there, and need none.
#[test]
fn the_black_box_passes_whatever_the_log_variance_is_made_of() {
    for fault in [Fault::None, Fault::SpareForVariance] {
        let encoder = || ToyEncoderConfig {
            fault,
            ..ToyEncoderConfig::default()
        };
        conformance::encoder(&encoder(), &ENCODER).unwrap();
        let config = BlackBoxConfig {
            latent_dimensions: 4,
            encoder: Box::new(encoder()),
            head: Box::new(ToyHeadConfig::default()),
        };
        conformance::model(&config, &MODEL).unwrap();
    }
}

#[test]
fn every_broken_encoder_is_found() {
    for (fault, about) in [
        (
            Fault::Shape,
            "mean (training, N = 3): expected shape [3, 5]",
        ),
        (
            Fault::NotFinite,
            "(training, N = 3): expected finite values",
        ),
        (
            Fault::NotFiniteAlone,
            "mean (training, N = 1): expected finite values",
        ),
        (
            Fault::PoisonedStatistics,
            "mean (evaluation, N = 3): expected finite values",
        ),
        (Fault::BatchDependent, "sample 0 alone and in a batch of 3"),
        (
            Fault::Detached,
            "expected one for parameter `spare`, found none",
        ),
        (Fault::NanGradient, "expected a finite one for parameter"),
        (Fault::NoMovement, "expected one that is not zero"),
        (
            Fault::OwnDevice,
            "device: expected all parameters on that of the `Initializer`",
        ),
        (Fault::OwnOutputDevice, "depend on the parameters"),
        (
            Fault::ChangesInEvaluation,
            "evaluation does not change the module",
        ),
        (Fault::Unrepeatable, "the same call twice"),
        (Fault::Seedless, "the same seed builds the same weights"),
        (Fault::Forgetful, "JSON"),
        (Fault::LayersWithoutBias, "replayed [mean | log_variance]"),
        (Fault::LayersApart, "layers that fit each other"),
        (Fault::LayersNarrow, "layers that fit each other"),
        (
            Fault::SharedVariance,
            "log_variance (training, N = 3): expected shape [3, 5], found [1, 5]",
        ),
    ] {
        let config = ToyEncoderConfig {
            fault,
            ..ToyEncoderConfig::default()
        };
        assert_breaks(
            conformance::encoder(&config, &ENCODER),
            "encoder",
            "ToyEncoder",
            about,
        );
    }
}

#[test]
fn every_broken_decoder_is_found() {
    for (fault, about) in [
        (
            Fault::Shape,
            "images (training, N = 3): expected shape [3, 2, 3, 4]",
        ),
        (
            Fault::NotFinite,
            "(training, N = 3): expected finite values",
        ),
        (Fault::BatchDependent, "alone and in a batch of 3"),
        (Fault::NanGradient, "expected a finite one"),
        (Fault::NoMovement, "expected one that is not zero"),
        (
            Fault::OwnDevice,
            "device: expected all parameters on that of the `Initializer`",
        ),
        (Fault::OwnOutputDevice, "depend on the parameters"),
        (Fault::Unrepeatable, "values in [-1, 1]"),
        (Fault::Seedless, "the same seed builds the same weights"),
        (Fault::Forgetful, "JSON"),
        (
            Fault::OutOfRange,
            "images (training, N = 3): expected values in [-1, 1]",
        ),
        (
            Fault::OutOfRangeFarOut,
            "latents of size 100): expected values in [-1, 1]",
        ),
    ] {
        let config = ToyDecoderConfig {
            fault,
            ..ToyDecoderConfig::default()
        };
        assert_breaks(
            conformance::decoder(&config, &DECODER),
            "decoder",
            "ToyDecoder",
            about,
        );
    }
}

#[test]
fn every_broken_head_is_found() {
    for (fault, about) in [
        (
            Fault::Shape,
            "logits (training, N = 3): expected shape [3, 3]",
        ),
        (
            Fault::NotFinite,
            "(training, N = 3): expected finite values",
        ),
        (Fault::BatchDependent, "logits: sample 0 alone"),
        (
            Fault::Detached,
            "expected one for parameter `class_weights`, found none",
        ),
        (
            Fault::OwnDevice,
            "device: expected all parameters on that of the `Initializer`",
        ),
        (Fault::Unrepeatable, "logits: the same call twice"),
        (Fault::Seedless, "the same seed builds the same weights"),
        (Fault::NegativeSimilarity, "expected positive values"),
        (Fault::FarIsSimilar, "to be the largest"),
        (Fault::Misordered, "to be the largest"),
        (
            Fault::NoSimilarities,
            "expected some beside some prototypes, found none",
        ),
        (
            Fault::NoPrototypes,
            "expected none beside none prototypes, found some",
        ),
        (
            Fault::WrongBank,
            "prototypes: expected 3 classes of 2, found 2 of 3",
        ),
        (
            Fault::WrongClassWeights,
            "how logits change with similarities",
        ),
        (Fault::RemovesAnother, "without_prototypes: class weights"),
    ] {
        assert_breaks(
            conformance::head(&ToyHeadConfig { fault }, &HEAD),
            "head",
            "ToyHead",
            about,
        );
    }
}

#[test]
fn every_broken_model_is_found() {
    for (fault, about) in [
        (Fault::Shape, "expected shape [3, 3]"),
        (Fault::NotFinite, "expected finite values"),
        (Fault::BatchDependent, "logits: sample 0 alone"),
        (Fault::Detached, "expected one for parameter"),
        (Fault::Unrepeatable, "the same call twice"),
        (
            Fault::ChangingNames,
            "losses (training, N = 1): expected terms",
        ),
        (Fault::OtherLogits, "logits of losses and of predict"),
        (
            Fault::WeightlessTerms,
            "expected a term with a weight above zero",
        ),
        (Fault::WrongClasses, "classes: expected 3, found 4"),
        (
            Fault::WrongImage,
            "image_shape: expected 2×3×4, found 9×9×9",
        ),
        (
            Fault::ResolvedOtherwise,
            "the resolved recipe builds the same weights",
        ),
        (Fault::RenamedWhenResolved, "reported_as"),
    ] {
        let config = ToyModelConfig {
            fault,
            ..ToyModelConfig::default()
        };
        assert_breaks(
            conformance::model(&config, &MODEL),
            "model",
            "ToyModel",
            about,
        );
    }
    let config = ToyModelConfig {
        encoder: ToyEncoderConfig {
            fault: Fault::ChangesInEvaluation,
            ..ToyEncoderConfig::default()
        },
        ..ToyModelConfig::default()
    };
    assert_breaks(
        conformance::model(&config, &MODEL),
        "model",
        "ToyModel",
        "evaluation does not change the module",
    );
}

/// An error of the recipe itself is passed on.
#[test]
fn a_recipe_that_cannot_be_built_says_so_itself() {
    let mut config = toy_protovae(4, 2, LossConfig::default());
    config.latent_dimensions = 0;
    let error = conformance::model(&config, &MODEL).unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error}");
}

// Explainers ----------------------------------------------------------------------------------------------------------

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExplainerFault {
    None,
    /// Not a fault: classes are not among what this method explains.
    PrototypesOnly,
    ExplainsNothing,
    Rows,
    NotFinite,
    Unrepeatable,
    ChangesTheModel,
    OtherTargets,
    TakesAnyTarget,
    Nameless,
    RefusesSome,
}

/// The image itself, scaled by the target's number.
#[derive(Debug)]
struct ToyExplainer {
    fault: ExplainerFault,
    calls: AtomicU32,
}

impl Explainer for ToyExplainer {
    fn name(&self) -> &str {
        match self.fault {
            ExplainerFault::Nameless => "",
            _ => "toy-explainer",
        }
    }

    fn explain(
        &self,
        model: &BoxModel,
        images: Tensor<4>,
        targets: &[Target],
    ) -> Result<Explanation> {
        let refuse = |why: &'static str| {
            Err(Error::Unsupported {
                model: "toy".to_string(),
                what: why,
            })
        };
        let prototypes = model
            .prototypes()
            .map_or(0, |bank| bank.classes * bank.per_class);
        let mut factors = Vec::new();
        for target in targets {
            let (number, end) = match target {
                Target::Class(class) => (*class, model.classes()),
                Target::Prototype(prototype) => (*prototype, prototypes),
                _ => return refuse("such target"),
            };
            let is_class = matches!(target, Target::Class(_));
            if number >= end && self.fault != ExplainerFault::TakesAnyTarget {
                return refuse("such target");
            }
            match self.fault {
                ExplainerFault::PrototypesOnly if is_class => return refuse("classes"),
                ExplainerFault::ExplainsNothing => return refuse("explanation"),
                ExplainerFault::RefusesSome if number == 1 => return refuse("luck"),
                _ => {}
            }
            factors.push(number as f32 + 1.0);
        }
        let [samples, channels, height, width] = images.dims();
        let scale = common::tensor(factors, [1, targets.len(), 1], &images.device());
        let mut relevance = (images.reshape([samples, 1, channels * height * width]) * scale)
            .reshape([samples * targets.len(), channels, height, width]);
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            ExplainerFault::Rows => relevance = relevance.narrow(1, 0, 1),
            ExplainerFault::NotFinite => relevance = relevance / 0.0,
            ExplainerFault::Unrepeatable => relevance = relevance + call as f32,
            ExplainerFault::ChangesTheModel => {
                model
                    .encoder()
                    .unwrap()
                    .downcast_ref::<ToyEncoder>()
                    .unwrap()
                    .count();
            }
            _ => {}
        }
        let targets = match self.fault {
            ExplainerFault::OtherTargets => vec![Target::Class(0); targets.len() + 1],
            _ => targets.to_vec(),
        };
        Ok(Explanation { relevance, targets })
    }
}

#[test]
fn explainers_pass_or_are_found() {
    let mut init = Initializer::new(1, &Device::flex().autodiff());
    let model = toy_protovae(4, 2, LossConfig::default())
        .build(&MODEL, &mut init)
        .unwrap();
    let check = |fault| {
        let explainer = ToyExplainer {
            fault,
            calls: AtomicU32::new(0),
        };
        conformance::explainer(&explainer, &model)
    };
    check(ExplainerFault::None).unwrap();
    check(ExplainerFault::PrototypesOnly).unwrap();
    for (fault, about) in [
        (
            ExplainerFault::ExplainsNothing,
            "expected relevance for a class or a prototype",
        ),
        (
            ExplainerFault::Rows,
            "relevance (N = 1, T = 1): expected shape [1, 2, 3, 4]",
        ),
        (ExplainerFault::NotFinite, "expected finite values"),
        (
            ExplainerFault::Unrepeatable,
            "expected the same from the same call",
        ),
        (
            ExplainerFault::ChangesTheModel,
            "explaining does not change the model",
        ),
        (
            ExplainerFault::OtherTargets,
            "targets (N = 1, T = 1): expected",
        ),
        (ExplainerFault::TakesAnyTarget, "which does not exist"),
    ] {
        assert_breaks(check(fault), "explainer", "toy-explainer", about);
    }
    assert_breaks(
        check(ExplainerFault::Nameless),
        "explainer",
        "",
        "name: expected one",
    );
    let refused = check(ExplainerFault::RefusesSome).unwrap_err().to_string();
    assert!(refused.contains("explain (N = 1, T = 3): "), "{refused}");
}
