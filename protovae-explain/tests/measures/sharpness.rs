//! Sharpness and variety of images, by what must hold of them.

use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;
use protovae_explain::measures::{sharpness, variety};

fn tensor(values: Vec<f32>, dims: [usize; 4]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values, dims), &Device::flex())
}

#[test]
fn a_chessboard_is_sharpest_and_flat_is_not_sharp() {
    let board = (0..2 * 3 * 5 * 4).map(|index| {
        let (row, column) = (index / 4 % 5, index % 4);
        if (row + column) % 2 == 0 { 1.0 } else { -1.0 }
    });
    assert_eq!(
        sharpness(&tensor(board.collect(), [2, 3, 5, 4])).unwrap(),
        2.0
    );
    assert_eq!(
        sharpness(&tensor(vec![0.7; 24], [1, 1, 4, 6])).unwrap(),
        0.0
    );
    // One row, one column: its pairs alone.
    assert_eq!(
        sharpness(&tensor(vec![0.0, 1.0, 1.0], [1, 1, 1, 3])).unwrap(),
        0.5
    );
    assert_eq!(
        sharpness(&tensor(vec![0.0, 1.0, 1.0], [1, 1, 3, 1])).unwrap(),
        0.5
    );
}

#[test]
fn what_cannot_be_compared_is_told() {
    assert!(sharpness(&tensor(vec![1.0, 0.0], [2, 1, 1, 1])).is_err());
    assert!(sharpness(&tensor(Vec::new(), [0, 1, 2, 2])).is_err());
    for per_group in [0, 1, 2, 4] {
        assert!(variety(&tensor(vec![0.0; 12], [3, 1, 2, 2]), per_group).is_err());
    }
    assert!(variety(&tensor(vec![0.0; 12], [3, 1, 2, 2]), 3).is_ok());
    assert!(variety(&tensor(Vec::new(), [0, 1, 2, 2]), 2).is_err());
}

proptest! {
    #[test]
    fn both_scale_with_contrast_and_a_blur_takes_sharpness(
        values in proptest::collection::vec(-1.0f32..1.0, 4 * 2 * 6 * 5),
        contrast in 0.1f32..1.0,
    ) {
        let dims = [4, 2, 6, 5];
        let images = tensor(values, dims);
        let pale = images.clone() * contrast;
        let (sharp, apart) = (sharpness(&images).unwrap(), variety(&images, 2).unwrap());
        prop_assert!((0.0..=2.0).contains(&sharp) && (0.0..=2.0).contains(&apart));
        let scaled = f64::from(contrast);
        prop_assert!((sharpness(&pale).unwrap() - scaled * sharp).abs() < 1e-5);
        prop_assert!((variety(&pale, 2).unwrap() - scaled * apart).abs() < 1e-5);
        // Mirrored it is the same.
        prop_assert!((sharpness(&images.clone().flip([3])).unwrap() - sharp).abs() < 1e-6);
        // The order within a group, and that of groups, does not matter.
        prop_assert!((variety(&images.clone().flip([0]), 2).unwrap() - apart).abs() < 1e-6);
        // The mean of an image and its mirror image differs from neighbour to neighbour no more than both.
        let blurred = (images.clone() + images.flip([3])) * 0.5;
        prop_assert!(sharpness(&blurred).unwrap() <= sharp + 1e-5);
    }
}
