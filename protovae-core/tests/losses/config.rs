//! `LossConfig`: conventions, names, and what is refused.

use proptest::prelude::*;
use protovae_core::loss::{
    Convention, Distance, FrobeniusNorm, Latent, LossConfig, LossWeights, MixtureWeights, Reduction,
};

use crate::support::{CONVENTIONS, config};

#[test]
fn conventions_are_what_their_names_say() {
    let paper = LossConfig::new(Convention::Paper);
    assert_eq!(
        paper,
        LossConfig {
            convention: Convention::Paper,
            latent: Latent::Sampled,
            distance: Distance::Squared,
            similarity_epsilon: 1e-4,
            reconstruction_reduction: Reduction::Sum,
            kl_reduction: Reduction::Sum,
            mixture_weights: MixtureWeights::All,
            orthonormality_norm: FrobeniusNorm::Squared,
            orthonormality_reduction: Reduction::Sum,
            log_variance_limit: 1e8f64.ln(),
            weights: LossWeights {
                prediction: 1.0,
                reconstruction: 1.0,
                kl: 1.0,
                orthonormality: 1.0,
                volume: 0.0,
            },
        }
    );
    let reference = LossConfig {
        convention: Convention::Reference2022,
        latent: Latent::Mean,
        distance: Distance::Euclidean,
        reconstruction_reduction: Reduction::Mean,
        kl_reduction: Reduction::Mean,
        mixture_weights: MixtureWeights::Positive,
        orthonormality_norm: FrobeniusNorm::PlainOverDimensions,
        orthonormality_reduction: Reduction::Mean,
        ..paper
    };
    assert_eq!(LossConfig::new(Convention::Reference2022), reference);
    let sampled = LossConfig {
        convention: Convention::SampledMean,
        latent: Latent::Sampled,
        orthonormality_norm: FrobeniusNorm::Plain,
        weights: LossWeights {
            kl: 0.1,
            ..LossWeights::default()
        },
        ..reference
    };
    assert_eq!(LossConfig::new(Convention::SampledMean), sampled);
    assert_eq!(LossConfig::default(), sampled);
    let empty: LossConfig = serde_json::from_str("{}").unwrap();
    assert_eq!(empty, sampled);
    for (name, convention) in [
        ("paper", Convention::Paper),
        ("reference2022", Convention::Reference2022),
        ("sampled-mean", Convention::SampledMean),
    ] {
        let config: LossConfig =
            serde_json::from_str(&format!(r#"{{"convention":"{name}"}}"#)).unwrap();
        assert_eq!(config, LossConfig::new(convention));
        assert_eq!(config.name(), name);
        config.check("model.loss").unwrap();
    }
}

#[test]
fn names_tell_every_deviation() {
    let name = |text: &str| serde_json::from_str::<LossConfig>(text).unwrap().name();
    assert_eq!(
        name(r#"{"convention":"paper","distance":"euclidean"}"#),
        "paper with distance=euclidean"
    );
    assert_eq!(
        name(r#"{"convention":"reference2022","weights":{"kl":0.0}}"#),
        "reference2022 with kl weight 0"
    );
    let both = name(r#"{"kl_reduction":"sum","weights":{"orthonormality":2.5,"kl":1}}"#);
    assert!(both.starts_with("sampled-mean with "), "{both}");
    for part in [
        "kl_reduction=sum",
        "orthonormality weight 2.5",
        "kl weight 1",
    ] {
        assert!(both.contains(part), "{both}");
    }
    // Written out as the convention has it, a choice is no deviation.
    assert_eq!(
        name(r#"{"convention":"paper","latent":"sampled","weights":{"prediction":1}}"#),
        "paper"
    );
}

#[test]
fn unknown_keys_and_values_are_rejected() {
    for text in [
        r#"{"latents":"mean"}"#,
        r#"{"convention":"paper","kl":1}"#,
        r#"{"weights":{"reconstructon":1}}"#,
        r#"{"convention":"papers"}"#,
        r#"{"latent":"Mean"}"#,
        r#"{"distance":"manhattan"}"#,
        r#"{"mixture_weights":"none"}"#,
        r#"{"similarity_epsilon":"small"}"#,
        r#"{"weights":[1,1,1,1,1,1]}"#,
    ] {
        assert!(serde_json::from_str::<LossConfig>(text).is_err(), "{text}");
    }
}

#[test]
fn numbers_out_of_range_are_named() {
    let mut broken = Vec::new();
    for value in [0.0, -1.0, f64::NAN, f64::INFINITY, 1.0, 1e-30, 1e-46] {
        let similarity_epsilon = value;
        broken.push((
            "similarity_epsilon",
            LossConfig {
                similarity_epsilon,
                ..LossConfig::default()
            },
        ));
    }
    for value in [0.0, -1.0, f64::NAN, f64::INFINITY, 80.5] {
        let log_variance_limit = value;
        broken.push((
            "log_variance_limit",
            LossConfig {
                log_variance_limit,
                ..LossConfig::default()
            },
        ));
    }
    for value in [-1.0, f64::NAN, f64::INFINITY] {
        let mut config = LossConfig::default();
        config.weights.kl = value;
        broken.push(("weights.kl", config));
    }
    let nothing = LossWeights {
        prediction: 0.0,
        reconstruction: 0.0,
        kl: 0.0,
        orthonormality: 0.0,
        volume: 0.0,
    };
    broken.push((
        "weights",
        LossConfig {
            weights: nothing,
            ..LossConfig::default()
        },
    ));
    for (key, config) in broken {
        let said = config.check("model.loss").unwrap_err().to_string();
        assert!(said.starts_with(&format!("model.loss.{key}: ")), "{said}");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_config_survives_its_file(
        choices in prop::array::uniform8(any::<bool>()), convention in 0..3usize,
        numbers in prop::array::uniform5(0.0f64..10.0), epsilon in 1e-8f64..0.9,
    ) {
        fn either<T>(first: bool, one: T, other: T) -> T {
            if first { one } else { other }
        }
        let config = LossConfig {
            convention: CONVENTIONS[convention],
            latent: either(choices[0], Latent::Mean, Latent::Sampled),
            distance: either(choices[1], Distance::Squared, Distance::Euclidean),
            similarity_epsilon: epsilon,
            reconstruction_reduction: either(choices[2], Reduction::Sum, Reduction::Mean),
            kl_reduction: either(choices[3], Reduction::Sum, Reduction::Mean),
            mixture_weights: either(choices[4], MixtureWeights::All, MixtureWeights::Positive),
            orthonormality_norm: either(choices[5], FrobeniusNorm::Squared, FrobeniusNorm::Plain),
            orthonormality_reduction: either(choices[6], Reduction::Sum, Reduction::Mean),
            log_variance_limit: numbers[0] + 0.1,
            weights: LossWeights {
                prediction: numbers[1],
                reconstruction: numbers[2],
                kl: either(choices[7], 0.0, numbers[3]),
                orthonormality: numbers[4],
                volume: either(choices[7], numbers[3], 0.0),
            },
        };
        let text = serde_json::to_string(&config).unwrap();
        let again: LossConfig = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&again, &config);
        prop_assert_eq!(again.name(), config.name());
        prop_assert!(config.check("loss").is_ok());
    }
}
