//! How sharp images are, and how much those of a group differ.

use burn::tensor::Tensor;
use protovae_core::{Error, Result};

/// The sharpness of images `[N, C, H, W]` with values in `[-1, 1]`: the mean absolute difference of two pixels that lie beside or above
/// each other, over all such pairs, channels and images.
///
/// It lies between 0, all flat, and 2, a chessboard of single pixels in black and white. What is blurred has less, and so has what is
/// pale; a picture of ink on empty paper has little of it however sharp, so that it says something beside that of images of the
/// same kind only.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use protovae_explain::measures::sharpness;
///
/// let device = Device::flex();
/// let edge = Tensor::<4>::from_data([[[[-1.0f32, 1.0], [-1.0, 1.0]]]], &device);
/// // Two of the four pairs differ, by 2.
/// assert_eq!(sharpness(&edge)?, 1.0);
/// # Ok::<(), protovae_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::Config`] if there are no two pixels beside each other.
pub fn sharpness(images: &Tensor<4>) -> Result<f64> {
    let [_, _, height, width] = images.dims();
    let values = host(images);
    let (mut sum, mut pairs) = (0.0, 0u64);
    for plane in values.chunks_exact((height * width).max(1)) {
        for (index, value) in plane.iter().enumerate() {
            let right = (index % width + 1 < width).then(|| plane[index + 1]);
            let below = plane.get(index + width).copied();
            for other in [right, below].into_iter().flatten() {
                sum += f64::from((value - other).abs());
                pairs += 1;
            }
        }
    }
    match pairs {
        0 => Err(Error::config(
            "images",
            "sharpness is of pixels beside each other, of which there are none",
        )),
        pairs => Ok(sum / pairs as f64),
    }
}

/// How much the images of a group differ, such as the decoded prototypes of a class: the mean absolute difference of two of them,
/// over all pixels, pairs and groups. `images` is `[G·M, C, H, W]` with values in `[-1, 1]`, those of a group one after the other; the
/// result lies between 0 and 2.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use protovae_explain::measures::variety;
///
/// let device = Device::flex();
/// let images = Tensor::<4>::from_data([[[[0.0f32]]], [[[1.0]]], [[[-1.0]]], [[[-1.0]]]], &device);
/// // The first group's two differ by 1, the other's not at all.
/// assert_eq!(variety(&images, 2)?, 0.5);
/// # Ok::<(), protovae_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::Config`] unless there are whole groups of at least two images with pixels.
pub fn variety(images: &Tensor<4>, per_group: usize) -> Result<f64> {
    let [count, channels, height, width] = images.dims();
    let size = channels * height * width;
    if per_group < 2 || count == 0 || !count.is_multiple_of(per_group) || size == 0 {
        return Err(Error::config(
            "images",
            format!("{count} images are not groups of {per_group} that could differ"),
        ));
    }
    let values = host(images);
    let (mut sum, mut pairs) = (0.0, 0u64);
    for group in values.chunks_exact(per_group * size) {
        let all: Vec<&[f32]> = group.chunks_exact(size).collect();
        for (index, one) in all.iter().enumerate() {
            for other in &all[index + 1..] {
                let apart = one
                    .iter()
                    .zip(*other)
                    .map(|(a, b)| f64::from((a - b).abs()));
                sum += apart.sum::<f64>() / size as f64;
                pairs += 1;
            }
        }
    }
    Ok(sum / pairs as f64)
}

fn host(images: &Tensor<4>) -> Vec<f32> {
    images.clone().into_data().iter::<f32>().collect()
}
