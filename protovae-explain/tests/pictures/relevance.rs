//! Relevance as colours, pixel by pixel.

use burn::tensor::{Device, Tensor, TensorData};
use image::Rgb;
use proptest::prelude::*;
use protovae_explain::pictures::{
    RelevanceMaps, RelevanceScale, diverging_colour, overlay, relevance_picture,
};

fn tensor(values: &[f32], shape: [usize; 4]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
}

/// The largest value takes the full colour.
const WHOLE: RelevanceScale = RelevanceScale {
    quantile: 1.0,
    shared: false,
};

#[test]
fn channels_are_summed_and_pixels_enlarged() {
    // Two channels of 1×3: sums 4, −2, 0.
    let relevance = tensor(&[1.0, -1.5, 2.0, 3.0, -0.5, -2.0], [1, 2, 1, 3]);
    let pictures = relevance_picture(relevance, &WHOLE, 2).unwrap();
    assert_eq!(pictures.len(), 1);
    let picture = &pictures[0];
    assert_eq!(picture.dimensions(), (6, 2));
    for (x, value) in [(0, 1.0), (2, -0.5), (4, 0.0)] {
        for (dx, y) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            assert_eq!(*picture.get_pixel(x + dx, y), diverging_colour(value));
        }
    }
}

#[test]
fn limits_are_quantiles_of_absolute_values() {
    let values: Vec<f32> = (1..=200)
        .map(|i| if i % 2 == 0 { i as f32 } else { -(i as f32) })
        .collect();
    let maps = RelevanceMaps::from_slice(&values, [2, 1, 10, 10]).unwrap();
    let limits = |quantile, shared| RelevanceScale { quantile, shared }.limits(&maps);
    // The first map holds 1..=100, the second 101..=200.
    assert_eq!(limits(0.5, false), [50.0, 150.0]);
    assert_eq!(limits(0.995, false), [100.0, 200.0]);
    assert_eq!(limits(0.995, true), [199.0, 199.0]);
    for out_of_range in [0.0, -1.0, 1.5, f64::NAN] {
        assert_eq!(limits(out_of_range, false), [100.0, 200.0]);
    }
    // Fewer pixels than the quantile leaves out, but not zero.
    let mut sparse = vec![0.0; 400];
    sparse[7] = -3.0;
    let maps = RelevanceMaps::from_slice(&sparse, [1, 1, 20, 20]).unwrap();
    assert_eq!(RelevanceScale::default().limits(&maps), [3.0]);
}

#[test]
fn a_shared_scale_keeps_maps_comparable() {
    let relevance = tensor(&[1.0, -1.0, 4.0, 2.0], [2, 1, 1, 2]);
    let shared = RelevanceScale {
        shared: true,
        ..WHOLE
    };
    let each = relevance_picture(relevance.clone(), &WHOLE, 1).unwrap();
    let together = relevance_picture(relevance, &shared, 1).unwrap();
    assert_eq!(*each[0].get_pixel(0, 0), diverging_colour(1.0));
    assert_eq!(*together[0].get_pixel(0, 0), diverging_colour(0.25));
    assert_eq!(*together[0].get_pixel(1, 0), diverging_colour(-0.25));
    assert_eq!(*together[1].get_pixel(0, 0), diverging_colour(1.0));
}

#[test]
fn maps_of_zeros_and_of_what_is_no_number_are_neutral() {
    let neutral = diverging_colour(0.0);
    for value in [0.0, -0.0, f32::NAN] {
        let relevance = tensor(&[value; 4], [1, 1, 2, 2]);
        let pictures = relevance_picture(relevance.clone(), &WHOLE, 1).unwrap();
        assert!(pictures[0].pixels().all(|pixel| *pixel == neutral));
        let grey = overlay(tensor(&[1.0; 4], [1, 1, 2, 2]), relevance, &WHOLE, 1).unwrap();
        assert!(grey[0].pixels().all(|pixel| *pixel == Rgb([255; 3])));
    }
    // Infinity minus infinity over the channels is NaN; infinity alone takes the full colour.
    let infinity = f32::INFINITY;
    let relevance = tensor(
        &[infinity, infinity, 1.0, -infinity, 0.0, 1.0],
        [1, 2, 1, 3],
    );
    let picture = &relevance_picture(relevance, &WHOLE, 1).unwrap()[0];
    assert_eq!(*picture.get_pixel(0, 0), neutral);
    assert_eq!(*picture.get_pixel(1, 0), diverging_colour(1.0));
    assert_eq!(*picture.get_pixel(2, 0), diverging_colour(1.0));
}

#[test]
fn overlays_show_the_image_in_grey_where_nothing_is_relevant() {
    // One pixel of red, and one of green, −1 being dark and 1 being light.
    let image = [1.0, -1.0, -1.0, 1.0, -1.0, -1.0];
    let relevance = [0.0, 0.0, 2.0, -1.0];
    let maps = RelevanceMaps::from_slice(&relevance, [2, 1, 1, 2]).unwrap();
    let pictures = maps.overlays(&image, [1, 3, 1, 2], &WHOLE, 1).unwrap();
    assert_eq!(pictures.len(), 2, "two targets for one image");
    // 0.2126 · 255 and 0.7152 · 255.
    assert_eq!(*pictures[0].get_pixel(0, 0), Rgb([54; 3]));
    assert_eq!(*pictures[0].get_pixel(1, 0), Rgb([182; 3]));
    // Full relevance hides the image, half of it half.
    assert_eq!(*pictures[1].get_pixel(0, 0), diverging_colour(1.0));
    let half = diverging_colour(-0.5)
        .0
        .map(|channel| ((0.7152 * 255.0 + f32::from(channel)) / 2.0).round() as u8);
    for (found, expected) in pictures[1].get_pixel(1, 0).0.into_iter().zip(half) {
        assert!(found.abs_diff(expected) <= 1);
    }
}

#[test]
fn each_image_has_its_own_maps() {
    let images = tensor(&[-1.0, 1.0], [2, 1, 1, 1]);
    let relevance = tensor(&[0.0, 1.0, 0.0, 1.0], [4, 1, 1, 1]);
    let pictures = overlay(images, relevance, &WHOLE, 3).unwrap();
    let colours: Vec<_> = pictures.iter().map(|p| *p.get_pixel(2, 2)).collect();
    let full = diverging_colour(1.0);
    assert_eq!(colours, [Rgb([0; 3]), full, Rgb([255; 3]), full]);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let overlays = |images: [usize; 4], relevance: [usize; 4], enlargement| {
        let device = Device::flex();
        overlay(
            Tensor::zeros(images, &device),
            Tensor::zeros(relevance, &device),
            &WHOLE,
            enlargement,
        )
    };
    assert!(overlays([1, 1, 2, 2], [1, 1, 2, 2], 1).is_ok());
    assert!(overlays([1, 2, 2, 2], [1, 1, 2, 2], 1).is_err());
    assert!(overlays([1, 1, 2, 3], [1, 1, 2, 2], 1).is_err());
    assert!(overlays([2, 1, 2, 2], [3, 1, 2, 2], 1).is_err());
    assert!(overlays([1, 1, 2, 2], [1, 1, 2, 2], usize::MAX).is_err());
    assert!(RelevanceMaps::from_slice(&[], [0, 1, 1, 1]).is_err());
    assert!(RelevanceMaps::from_slice(&[1.0; 3], [1, 1, 2, 2]).is_err());
    assert!(RelevanceMaps::from_slice(&[1.0; 3], [usize::MAX, usize::MAX, 1, 1]).is_err());
}

proptest! {
    #[test]
    fn no_relevance_breaks_a_picture(
        values in prop::collection::vec(prop::num::f32::ANY, 24),
        quantile in prop::num::f64::ANY,
        shared: bool,
    ) {
        let scale = RelevanceScale { quantile, shared };
        let maps = RelevanceMaps::from_slice(&values, [2, 3, 2, 2]).unwrap();
        for limit in scale.limits(&maps) {
            prop_assert!(limit.is_finite() && limit >= 0.0);
        }
        let pictures = maps.pictures(&scale, 1).unwrap();
        // The sign of a pixel is never shown wrong.
        for (map, picture) in maps.iter().zip(&pictures) {
            for (value, pixel) in map.iter().zip(picture.pixels()) {
                let [red, _, blue] = pixel.0;
                prop_assert!(red == blue || (*value > 0.0) == (red > blue), "{value} {pixel:?}");
            }
        }
        prop_assert_eq!(maps.overlays(&values[..12], [1, 3, 2, 2], &scale, 2).unwrap().len(), 2);
    }
}
