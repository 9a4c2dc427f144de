//! Maps enlarged to images, and where they are largest.

use proptest::prelude::*;
use protovae_core::model::{Region, upsampled};

/// A map of any size with values without a pattern, and the size of an image at least as large.
fn maps() -> impl Strategy<Value = (Vec<f32>, [usize; 2], [usize; 2])> {
    (1..7usize, 1..7usize, 0..9usize, 0..9usize).prop_flat_map(|(rows, columns, more, wider)| {
        let map = prop::collection::vec(-3.0f32..3.0, rows * columns);
        (
            map,
            Just([rows, columns]),
            Just([rows + more, columns + wider]),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn enlarging_stays_within_the_values_and_keeps_a_map_of_the_same_size((map, size, image) in maps()) {
        let large = upsampled(&map, size, image);
        prop_assert_eq!(large.len(), image[0] * image[1]);
        let bounds = |values: &[f32]| {
            values.iter().fold([f32::MAX, f32::MIN], |[low, high], value| [low.min(*value), high.max(*value)])
        };
        let ([low, high], [least, most]) = (bounds(&map), bounds(&large));
        prop_assert!(least >= low - 1e-5 && most <= high + 1e-5);
        prop_assert_eq!(upsampled(&map, size, size), map);
    }

    #[test]
    fn a_region_holds_the_largest_value_and_lies_in_the_image((map, size, image) in maps()) {
        let region = Region::of_largest(&map, size, image);
        let large = upsampled(&map, size, image);
        let most = large.iter().copied().fold(f32::MIN, f32::max);
        let at = large.iter().position(|value| *value == most).unwrap();
        let (y, x) = (at / image[1], at % image[1]);
        prop_assert!((region.top..region.top + region.height).contains(&y));
        prop_assert!((region.left..region.left + region.width).contains(&x));
        prop_assert!(region.top + region.height <= image[0] && region.left + region.width <= image[1]);
        // Nine of ten pixels at least lie below the limit if all differ.
        let mut sorted = large.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        sorted.dedup();
        if sorted.len() == large.len() && large.len() >= 20 {
            let limit = sorted[sorted.len() - sorted.len() / 10 - 1];
            let inside = |y: usize, x: usize| {
                (region.top..region.top + region.height).contains(&y)
                    && (region.left..region.left + region.width).contains(&x)
            };
            let on_edge = (0..large.len()).filter(|pixel| {
                let (y, x) = (pixel / image[1], pixel % image[1]);
                inside(y, x) && y == region.top
            });
            let strongest = on_edge.map(|pixel| large[pixel]).fold(f32::MIN, f32::max);
            prop_assert!(strongest >= limit, "the rectangle is no larger than it must be");
        }
    }
}

#[test]
fn a_map_without_values_is_the_whole_image() {
    for map in [vec![], vec![1.0; 5]] {
        assert!(upsampled(&map, [2, 2], [4, 4]).is_empty());
        assert_eq!(
            Region::of_largest(&map, [2, 2], [4, 6]),
            Region::whole(4, 6)
        );
    }
    assert!(Region::of_largest(&[1.0], [1, 1], [3, 3]).is_whole(3, 3));
}
