//! Augmentation against torchvision's values, and what must hold for every image.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;

use proptest::prelude::*;
use protovae_data::{
    Adjustment, AugmentationConfig, AugmentationDraw, ColorJitterConfig, DataError, ImageShape,
};
use serde::Deserialize;

/// Written by `augmentation_golden.py`.
#[derive(Deserialize)]
struct Golden {
    images: HashMap<String, Picture>,
    cases: Vec<Case>,
    draws: Vec<Draw>,
}

#[derive(Deserialize)]
struct Picture {
    shape: ImageShape,
    bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct Case {
    image: String,
    draw: AugmentationDraw,
    expected: Vec<f32>,
}

#[derive(Deserialize)]
struct Draw {
    config: AugmentationConfig,
    seed: u64,
    epoch: u64,
    index: u64,
    draw: AugmentationDraw,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/augmentation.json")).unwrap()
}

fn scaled(bytes: &[u8]) -> Vec<f32> {
    bytes
        .iter()
        .map(|&byte| f32::from(byte) / 127.5 - 1.0)
        .collect()
}

fn applied(draw: &AugmentationDraw, image: &[f32], shape: ImageShape) -> Vec<f32> {
    let mut image = image.to_vec();
    draw.apply(&mut image, shape).unwrap();
    image
}

fn everything() -> AugmentationConfig {
    AugmentationConfig {
        crop_padding: 2,
        flip: 0.5,
        jitter: Some(ColorJitterConfig {
            brightness: 0.2,
            contrast: 0.3,
            saturation: 1.4,
            hue: 0.1,
        }),
    }
}

#[test]
fn values_are_those_of_torchvision() {
    let golden = golden();
    assert!(golden.cases.len() > 60);
    for case in golden.cases {
        let picture = &golden.images[&case.image];
        let found = applied(&case.draw, &scaled(&picture.bytes), picture.shape);
        assert_eq!(found.len(), case.expected.len());
        for (position, (found, expected)) in found.iter().zip(&case.expected).enumerate() {
            assert!(
                (found - expected).abs() < 3e-6,
                "value {position}: {found}, not {expected}: {:?}",
                case.draw
            );
        }
    }
}

#[test]
fn draws_are_those_of_an_independent_generator() {
    let golden = golden();
    assert!(golden.draws.len() >= 18);
    for expected in golden.draws {
        let found = expected
            .config
            .draw(expected.seed, expected.epoch, expected.index);
        assert_eq!(found, expected.draw);
    }
}

fn shapes() -> impl Strategy<Value = ImageShape> {
    (prop::sample::select(vec![1, 3]), 1usize..9, 1usize..9)
        .prop_map(|(channels, height, width)| ImageShape::new(channels, height, width))
}

fn images() -> impl Strategy<Value = (ImageShape, Vec<f32>)> {
    shapes().prop_flat_map(|shape| {
        let bytes = prop::collection::vec(any::<u8>(), shape.pixels());
        (Just(shape), bytes.prop_map(|bytes| scaled(&bytes)))
    })
}

fn factors() -> impl Strategy<Value = Option<f64>> {
    prop::option::of(prop_oneof![0.0..2.5, Just(0.0), Just(1.0), 0.0..=101.0])
}

fn draws() -> impl Strategy<Value = AugmentationDraw> {
    let order = AugmentationDraw::default().order.to_vec();
    (
        (-10isize..11, -10isize..11, any::<bool>()),
        (factors(), factors(), factors()),
        prop::option::of(-0.5..=0.5),
        Just(order).prop_shuffle(),
    )
        .prop_map(|(place, colours, hue, order)| AugmentationDraw {
            top: place.0,
            left: place.1,
            flip: place.2,
            brightness: colours.0,
            contrast: colours.1,
            saturation: colours.2,
            hue,
            order: order.try_into().unwrap(),
        })
}

proptest! {
    #[test]
    fn values_stay_in_range((shape, image) in images(), draw in draws()) {
        let changed = applied(&draw, &image, shape);
        prop_assert!(changed.iter().all(|value| (-1.0..=1.0).contains(value)), "{changed:?}");
    }

    #[test]
    fn nothing_is_the_identity_to_the_bit((shape, image) in images(), seed: u64, index: u64) {
        prop_assert_eq!(&applied(&AugmentationDraw::default(), &image, shape), &image);
        let config = AugmentationConfig { jitter: Some(ColorJitterConfig::default()), ..Default::default() };
        prop_assert!(config.is_nothing());
        prop_assert_eq!(&applied(&config.draw(seed, 0, index), &image, shape), &image);
    }

    #[test]
    fn neutral_factors_are_nearly_the_identity((shape, image) in images(), order in draws()) {
        let draw = AugmentationDraw {
            brightness: Some(1.0), contrast: Some(1.0), saturation: Some(1.0), hue: Some(0.0), order: order.order,
            ..Default::default()
        };
        for (changed, value) in applied(&draw, &image, shape).into_iter().zip(image) {
            prop_assert!((changed - value).abs() < 2e-6, "{} {}", changed, value);
        }
    }

    #[test]
    fn mirrored_twice_is_the_image((shape, image) in images()) {
        let draw = AugmentationDraw { flip: true, ..Default::default() };
        let once = applied(&draw, &image, shape);
        prop_assert_eq!(once[0], image[shape.width - 1]);
        prop_assert_eq!(applied(&draw, &once, shape), image);
    }

    #[test]
    fn cropping_moves_every_pixel((shape, image) in images(), top in -10isize..11, left in -10isize..11) {
        let moved = applied(&AugmentationDraw { top, left, ..Default::default() }, &image, shape);
        let mut moved = moved.into_iter();
        for plane in image.chunks(shape.height * shape.width) {
            for row in 0..shape.height as isize {
                for column in 0..shape.width as isize {
                    let (from_row, from_column) = (row + top, column + left);
                    let inside = (0..shape.height as isize).contains(&from_row)
                        && (0..shape.width as isize).contains(&from_column);
                    let expected = if inside { plane[from_row as usize * shape.width + from_column as usize] } else { -1.0 };
                    prop_assert_eq!(moved.next(), Some(expected));
                }
            }
        }
    }

    #[test]
    fn grey_stays_grey((shape, image) in images(), draw in draws()) {
        // One plane as all three colours.
        let plane = &image[..shape.height * shape.width];
        let colour = ImageShape::new(3, shape.height, shape.width);
        let changed = applied(&draw, &plane.repeat(3), colour);
        let planes: Vec<_> = changed.chunks(plane.len()).collect();
        for (red, (green, blue)) in planes[0].iter().zip(planes[1].iter().zip(planes[2])) {
            prop_assert!((red - green).abs() < 1e-6 && (red - blue).abs() < 1e-6);
        }
    }

    #[test]
    fn a_draw_depends_on_its_arguments_alone(seed: u64, epoch: u64, index: u64) {
        let config = everything();
        let draw = config.draw(seed, epoch, index);
        let _ = config.draw(!seed, epoch, index);
        prop_assert_eq!(draw, config.draw(seed, epoch, index));
        for other in [
            config.draw(seed.wrapping_add(1), epoch, index),
            config.draw(seed, epoch.wrapping_add(1), index),
            config.draw(seed, epoch, index.wrapping_add(1)),
            config.draw(epoch, seed, index),
        ] {
            // Four numbers of 53 bits do not come twice, unless seed and epoch are the same number.
            prop_assert!(draw.hue != other.hue || seed == epoch);
        }
    }

    #[test]
    fn a_setting_leaves_other_draws_alone(seed: u64, index: u64) {
        let whole = everything().draw(seed, 3, index);
        let flip_only = AugmentationConfig { flip: 0.5, ..Default::default() }.draw(seed, 3, index);
        prop_assert_eq!(flip_only.flip, whole.flip);
        let jitter = ColorJitterConfig { hue: 0.1, ..Default::default() };
        let hue_only = AugmentationConfig { jitter: Some(jitter), ..Default::default() }.draw(seed, 3, index);
        prop_assert_eq!((hue_only.hue, hue_only.contrast), (whole.hue, None));
        prop_assert_eq!((hue_only.top, hue_only.left, hue_only.flip), (0, 0, false));
    }
}

/// Pearson's statistic of counts that should be equal; its mean is their number less one.
fn unevenness(counts: &[u32]) -> f64 {
    let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    counts
        .iter()
        .map(|&count| (f64::from(count) - expected).powi(2) / expected)
        .sum()
}

fn bin(value: f64, low: f64, high: f64) -> usize {
    assert!((low..=high).contains(&value), "{value}");
    (((value - low) / (high - low) * 10.0) as usize).min(9)
}

#[test]
fn draws_are_spread_evenly() {
    let config = everything();
    let (mut places, mut flips) = ([[0; 5]; 2], [0; 2]);
    let (mut factors, mut orders) = ([[0; 10]; 4], HashMap::new());
    for index in 0..10_000 {
        let draw = config.draw(20, 1, index);
        places[0][(draw.top + 2) as usize] += 1;
        places[1][(draw.left + 2) as usize] += 1;
        flips[usize::from(draw.flip)] += 1;
        factors[0][bin(draw.brightness.unwrap(), 0.8, 1.2)] += 1;
        factors[1][bin(draw.contrast.unwrap(), 0.7, 1.3)] += 1;
        // The strength is beyond 1: factors begin at 0.
        factors[2][bin(draw.saturation.unwrap(), 0.0, 2.4)] += 1;
        factors[3][bin(draw.hue.unwrap(), -0.1, 0.1)] += 1;
        *orders.entry(format!("{:?}", draw.order)).or_insert(0) += 1;
    }
    // Bounds that chance passes less than once in 100,000 times.
    assert!(unevenness(&places[0]) < 28.0 && unevenness(&places[1]) < 28.0);
    assert!(unevenness(&flips) < 20.0);
    for counts in &factors {
        assert!(unevenness(counts) < 39.0, "{counts:?}");
    }
    assert_eq!(orders.len(), 24);
    assert!(unevenness(&orders.into_values().collect::<Vec<_>>()) < 65.0);
}

#[test]
fn draws_do_not_follow_each_other() {
    let config = everything();
    let hue = |epoch, index| config.draw(20, epoch, index).hue.unwrap() / 0.1;
    let count = 10_000;
    let correlation = |pair: &dyn Fn(u64) -> (f64, f64)| {
        let sum: f64 = (0..count).map(pair).map(|(a, b)| a * b).sum();
        // Uniform numbers in [-1, 1] have the variance 1/3.
        sum / count as f64 * 3.0
    };
    assert!(correlation(&|index| (hue(1, index), hue(1, index + 1))).abs() < 0.045);
    assert!(correlation(&|index| (hue(1, index), hue(2, index))).abs() < 0.045);
    let pairs = |index| {
        let draw = config.draw(20, 1, index);
        (
            draw.hue.unwrap() / 0.1,
            (draw.brightness.unwrap() - 1.0) / 0.2,
        )
    };
    assert!(correlation(&pairs).abs() < 0.045);
}

#[test]
fn certain_and_impossible_flips() {
    for index in 0..1000 {
        let flip = |flip| {
            AugmentationConfig {
                flip,
                ..Default::default()
            }
            .draw(1, 1, index)
            .flip
        };
        assert!(flip(1.0) && !flip(0.0));
    }
}

#[test]
fn values_out_of_range_are_refused() {
    let shape = ImageShape::new(3, 8, 9);
    let jitter = |change: fn(&mut ColorJitterConfig)| {
        let mut jitter = ColorJitterConfig::default();
        change(&mut jitter);
        AugmentationConfig {
            jitter: Some(jitter),
            ..Default::default()
        }
    };
    let config = |crop_padding, flip| AugmentationConfig {
        crop_padding,
        flip,
        jitter: None,
    };
    let refused = [
        ("crop_padding", config(8, 0.0)),
        ("crop_padding", config(64, 0.0)),
        ("crop_padding", config(usize::MAX, 0.0)),
        ("flip", config(0, -0.1)),
        ("flip", config(0, 1.1)),
        ("flip", config(0, f64::NAN)),
        ("brightness", jitter(|jitter| jitter.brightness = -0.1)),
        ("brightness", jitter(|jitter| jitter.brightness = 100.1)),
        ("contrast", jitter(|jitter| jitter.contrast = f64::INFINITY)),
        ("saturation", jitter(|jitter| jitter.saturation = f64::NAN)),
        ("hue", jitter(|jitter| jitter.hue = 0.51)),
        ("hue", jitter(|jitter| jitter.hue = -0.1)),
    ];
    for (expected, config) in refused {
        match config.check(shape) {
            Err(DataError::Setting { key, .. }) => assert_eq!(key, expected),
            other => panic!("{config:?}: {other:?}"),
        }
        // Drawing from what was not checked is senseless, but harmless.
        let _ = config.draw(1, 2, 3);
    }
    assert!(config(7, 1.0).check(shape).is_ok());
    assert!(
        jitter(|jitter| jitter.hue = 0.5)
            .check(ImageShape::new(1, 8, 8))
            .is_ok()
    );
    assert!(
        jitter(|jitter| jitter.hue = 0.5)
            .check(ImageShape::new(2, 8, 8))
            .is_err()
    );
    assert!(config(2, 0.5).check(ImageShape::new(2, 8, 8)).is_ok());
    assert!(
        AugmentationConfig::default()
            .check(ImageShape::new(1, 1, 1))
            .is_ok()
    );
}

#[test]
fn draws_that_make_no_sense_are_refused() {
    let shape = ImageShape::new(3, 2, 2);
    let mut image = [0.5; 12];
    let nothing = AugmentationDraw::default();
    assert!(nothing.apply(&mut image[1..], shape).is_err());
    for bad in [f64::NAN, -0.1, f64::INFINITY, 101.1] {
        for draw in [
            AugmentationDraw {
                brightness: Some(bad),
                ..nothing
            },
            AugmentationDraw {
                contrast: Some(bad),
                ..nothing
            },
            AugmentationDraw {
                saturation: Some(bad),
                ..nothing
            },
            AugmentationDraw {
                hue: Some(bad - 1.0),
                ..nothing
            },
        ] {
            assert!(draw.apply(&mut image, shape).is_err(), "{draw:?}");
        }
    }
    assert_eq!(image, [0.5; 12]);
    let hue = AugmentationDraw {
        hue: Some(0.1),
        ..nothing
    };
    assert!(hue.apply(&mut image, ImageShape::new(2, 2, 3)).is_err());
    // Far beyond the image: black.
    let away = AugmentationDraw {
        top: isize::MIN,
        left: isize::MAX,
        ..nothing
    };
    away.apply(&mut image, shape).unwrap();
    assert_eq!(image, [-1.0; 12]);
    // An image without pixels is left as it is.
    away.apply(&mut [], ImageShape::new(3, 0, 0)).unwrap();
}

#[test]
fn configs_in_json() {
    let text = r#"{"crop_padding":2,"flip":0.5,"jitter":{"brightness":0.2,"contrast":0.3,"saturation":1.4,"hue":0.1}}"#;
    assert_eq!(
        serde_json::from_str::<AugmentationConfig>(text).unwrap(),
        everything()
    );
    assert_eq!(serde_json::to_string(&everything()).unwrap(), text);
    assert_eq!(
        serde_json::from_str::<AugmentationConfig>("{}").unwrap(),
        AugmentationConfig::default()
    );
    assert!(serde_json::from_str::<AugmentationConfig>(r#"{"flips":0.5}"#).is_err());
    assert!(serde_json::from_str::<AugmentationConfig>(r#"{"jitter":{"hues":0.5}}"#).is_err());
    assert_eq!(serde_json::to_string(&Adjustment::Hue).unwrap(), r#""hue""#);
}
