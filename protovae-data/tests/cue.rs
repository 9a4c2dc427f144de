//! Planted cues: which images carry one, what changes in them, and what must not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use proptest::prelude::*;
use protovae_data::{
    Corner, CueConfig, DataError, DataSplits, Dataset, ImageShape, InMemoryDataset, PlantedDataset,
};

const CLASSES: usize = 3;

fn cue(class: usize, share: f64, size: usize) -> CueConfig {
    CueConfig {
        class,
        share,
        size,
        corner: Corner::default(),
        margin: 1,
        color: [255, 0, 10],
    }
}

fn set(shape: ImageShape, labels: &[u16]) -> InMemoryDataset {
    let pixels = (0..labels.len() * shape.pixels()).map(|at| (at * 37 % 251) as u8);
    InMemoryDataset::new(shape, pixels.collect(), labels.to_vec()).unwrap()
}

fn image(set: &dyn Dataset, index: usize) -> Vec<f32> {
    let mut image = vec![0.0; set.shape().pixels()];
    set.image(index, &mut image).unwrap();
    image
}

fn corners() -> impl Strategy<Value = Corner> {
    prop_oneof![
        Just(Corner::TopLeft),
        Just(Corner::TopRight),
        Just(Corner::BottomLeft),
        Just(Corner::BottomRight),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn only_the_patch_of_the_carriers_changes(
        labels in prop::collection::vec(0u16..3, 1..60), class in 0usize..CLASSES, share in 0.0..=1.0f64,
        size in 1usize..5, margin in 0usize..3, corner in corners(), colour: bool, seed: u64, color: [u8; 3],
    ) {
        let shape = ImageShape::new(if colour { 3 } else { 1 }, 7, 9);
        let cue = CueConfig { class, share, size, corner, margin, color };
        let clean = set(shape, &labels);
        let planted = PlantedDataset::new(Arc::new(clean.clone()), CLASSES, &cue, seed).unwrap();
        let patch = cue.patch(shape, CLASSES).unwrap();
        let of_class = labels.iter().filter(|label| usize::from(**label) == class).count();
        prop_assert_eq!(planted.carriers(), (share * of_class as f64).round() as usize);
        let values = patch.values();
        prop_assert_eq!(values.len(), shape.channels);
        if colour {
            prop_assert_eq!(values[0], f32::from(color[0]) / 127.5 - 1.0);
        }
        for (index, label) in labels.iter().enumerate() {
            let (before, after) = (image(&clean, index), image(&planted, index));
            prop_assert_eq!(planted.label(index).unwrap(), usize::from(*label));
            if usize::from(*label) != class {
                prop_assert!(!planted.carries(index));
            }
            for (at, (before, after)) in before.iter().zip(&after).enumerate() {
                let (channel, row, column) = (at / 63, at % 63 / 9, at % 9);
                let inside = (patch.top()..patch.top() + size).contains(&row)
                    && (patch.left()..patch.left() + size).contains(&column);
                let expected = if planted.carries(index) && inside { values[channel] } else { *before };
                prop_assert_eq!(*after, expected);
            }
        }
        // The corner that was asked for, at the distance that was asked for.
        let from = |top: bool, left: bool| (
            if top { patch.top() } else { 7 - patch.top() - size },
            if left { patch.left() } else { 9 - patch.left() - size },
        );
        let apart = match corner {
            Corner::TopLeft => from(true, true),
            Corner::TopRight => from(true, false),
            Corner::BottomLeft => from(false, true),
            Corner::BottomRight => from(false, false),
        };
        prop_assert_eq!(apart, (margin, margin));
    }

    #[test]
    fn carriers_are_a_pure_function_and_grow_with_the_share(
        labels in prop::collection::vec(0u16..3, 1..80), low in 0.0..=1.0f64, high in 0.0..=1.0f64, seed: u64,
    ) {
        let shape = ImageShape::new(1, 6, 6);
        let carriers = |share: f64, size: usize| -> Vec<bool> {
            let images = Arc::new(set(shape, &labels));
            let planted = PlantedDataset::new(images, CLASSES, &cue(1, share, size), seed).unwrap();
            (0..labels.len()).map(|index| planted.carries(index)).collect()
        };
        let (low, high) = (low.min(high), low.max(high));
        prop_assert_eq!(carriers(low, 2), carriers(low, 3));
        for (few, many) in carriers(low, 2).iter().zip(carriers(high, 2)) {
            prop_assert!(!few || many);
        }
    }
}

/// A version of this crate that chose other images could not resume the runs of this one. From `cue_golden.py`.
#[test]
fn the_carriers_of_a_seed_never_change() {
    let images = Arc::new(set(ImageShape::new(1, 6, 6), &[1; 12]));
    let carriers = |seed| -> Vec<usize> {
        let images: Arc<dyn Dataset> = images.clone();
        let planted = PlantedDataset::new(images, CLASSES, &cue(1, 0.5, 2), seed).unwrap();
        (0..12).filter(|index| planted.carries(*index)).collect()
    };
    assert_eq!(carriers(0), [2, 6, 8, 9, 10, 11]);
    assert_eq!(carriers(7), [1, 2, 4, 5, 8, 11]);
}

fn splits() -> DataSplits {
    let shape = ImageShape::new(1, 6, 6);
    let names = ["a", "b", "c"].map(str::to_string).to_vec();
    let train = set(shape, &[0, 1, 2, 1, 1, 0]);
    let test = set(shape, &[1, 0, 2]);
    DataSplits::from_memory("toy", names, train, test).unwrap()
}

#[test]
fn the_test_images_stay_clean_and_the_digest_tells() {
    let clean = splits();
    let planted = clean.clone().planted(&cue(1, 1.0, 2), 3).unwrap();
    for index in 0..3 {
        let test = |splits: &DataSplits| image(splits.test.as_ref(), index);
        assert_eq!(test(&planted), test(&clean));
    }
    assert_eq!((planted.digest.len(), planted.name.as_str()), (64, "toy"));
    assert!(
        planted.notes[0].contains("100 % of the training images of class 1 (b)"),
        "{:?}",
        planted.notes
    );
    let digest = |cue: &CueConfig, seed| clean.clone().planted(cue, seed).unwrap().digest;
    assert_ne!(planted.digest, clean.digest);
    assert_eq!(digest(&cue(1, 1.0, 2), 3), planted.digest);
    // All images of the class, whatever the seed: the same images.
    assert_eq!(digest(&cue(1, 1.0, 2), 4), planted.digest);
    let others = [
        cue(2, 1.0, 2),
        cue(1, 0.3, 2),
        cue(1, 1.0, 3),
        CueConfig {
            color: [9; 3],
            ..cue(1, 1.0, 2)
        },
        CueConfig {
            corner: Corner::BottomLeft,
            ..cue(1, 1.0, 2)
        },
    ];
    for other in others {
        assert_ne!(digest(&other, 3), planted.digest, "{other:?}");
    }
    // Nothing is planted, so nothing is another.
    let nothing = clean.clone().planted(&cue(1, 0.0, 2), 3).unwrap();
    assert_eq!(
        (nothing.digest, nothing.notes.len()),
        (clean.digest.clone(), 0)
    );
}

#[test]
fn grey_takes_the_luminance() {
    let shape = ImageShape::new(1, 6, 6);
    for (color, grey) in [
        ([255; 3], 255),
        ([0; 3], 0),
        ([255, 0, 0], 54),
        ([0, 255, 0], 182),
        ([0, 0, 255], 18),
    ] {
        let cue = CueConfig {
            color,
            ..cue(0, 1.0, 2)
        };
        let values = cue.patch(shape, CLASSES).unwrap().values();
        assert_eq!(values, [grey as f32 / 127.5 - 1.0], "{color:?}");
    }
}

#[test]
fn what_cannot_be_planted_names_its_key() {
    let grey = ImageShape::new(1, 6, 8);
    let cases = [
        (cue(3, 1.0, 2), grey, "cue.class"),
        (cue(0, 1.5, 2), grey, "cue.share"),
        (cue(0, -0.1, 2), grey, "cue.share"),
        (cue(0, f64::NAN, 2), grey, "cue.share"),
        (cue(0, 1.0, 0), grey, "cue.size"),
        (cue(0, 1.0, 6), grey, "cue.size"),
        (cue(0, 1.0, usize::MAX), grey, "cue.size"),
        (cue(0, 1.0, 2), ImageShape::new(2, 6, 8), "cue.color"),
    ];
    for (cue, shape, expected) in cases {
        match cue.patch(shape, CLASSES) {
            Err(DataError::Setting { key, .. }) => assert_eq!(key, expected, "{cue:?}"),
            other => panic!("{cue:?}: {other:?}"),
        }
    }
    assert!(cue(0, 1.0, 5).patch(grey, CLASSES).is_ok());
    let error = cue(0, 1.0, 2)
        .patch(grey, CLASSES)
        .unwrap()
        .plant(&mut [0.0; 3]);
    assert!(matches!(error, Err(DataError::BufferLength { .. })));
    for text in [
        r#"{"size": 4}"#,
        r#"{"class": 1, "colour": [1, 2, 3]}"#,
        r#"{"class": "b"}"#,
        r#"{"class": 1, "color": [1, 2, 300]}"#,
        r#"{"class": 1, "corner": "middle"}"#,
    ] {
        assert!(serde_json::from_str::<CueConfig>(text).is_err(), "{text}");
    }
    let short: CueConfig = serde_json::from_str(r#"{"class": 1}"#).unwrap();
    let long = CueConfig {
        color: [255; 3],
        ..cue(1, 1.0, 4)
    };
    assert_eq!(short, long);
}
