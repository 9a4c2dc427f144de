//! Resizing by a Catmull-Rom filter that is widened when it shrinks, so that it averages.
//!
//! The same filter as `image::imageops::resize` has, and Pillow's `BICUBIC`. Here it works on bytes of one or three
//! channels, row by row, which is many times faster and holds no more than one row in floating point.

/// The samples of one line that make a sample of the resized line, and their weights.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// Catmull and Rom's spline, zero beyond 2.
fn kernel(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}

fn taps(from: usize, to: usize) -> Vec<Taps> {
    let ratio = from as f64 / to as f64;
    let scale = ratio.max(1.0);
    let last = from.saturating_sub(1) as f64;
    (0..to)
        .map(|position| {
            let centre = (position as f64 + 0.5) * ratio;
            // Both ends lie within the line.
            let first = (centre - 2.0 * scale).floor().clamp(0.0, last) as usize;
            let end = ((centre + 2.0 * scale).ceil() as usize).clamp(first + 1, from.max(1));
            let weights: Vec<f64> = (first..end)
                .map(|sample| kernel((sample as f64 + 0.5 - centre) / scale))
                .collect();
            let sum: f64 = weights.iter().sum();
            Taps {
                first,
                weights: weights.iter().map(|weight| (weight / sum) as f32).collect(),
            }
        })
        .collect()
}

/// Resizes `samples`, rows of pixels of `CHANNELS` bytes, from (width, height) to another. No side may be 0.
pub(crate) fn resize<const CHANNELS: usize>(
    samples: &[u8],
    (width, height): (usize, usize),
    (to_width, to_height): (usize, usize),
) -> Vec<u8> {
    let stride = width * CHANNELS;
    let columns = taps(width, to_width);
    let mut resized = Vec::with_capacity(to_width * to_height * CHANNELS);
    let mut line = vec![0.0f32; stride];
    for row in taps(height, to_height) {
        line.fill(0.0);
        let rows = samples.chunks_exact(stride).skip(row.first);
        for (&weight, row) in row.weights.iter().zip(rows) {
            for (sum, &sample) in line.iter_mut().zip(row) {
                *sum += weight * f32::from(sample);
            }
        }
        for column in &columns {
            let mut sums = [0.0f32; CHANNELS];
            let pixels = line.chunks_exact(CHANNELS).skip(column.first);
            for (&weight, pixel) in column.weights.iter().zip(pixels) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += weight * value;
                }
            }
            // To the nearest byte; the conversion clips what overshoots.
            resized.extend_from_slice(&sums.map(|sum| (sum + 0.5) as u8));
        }
    }
    resized
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use image::imageops::{self, FilterType};
    use image::{GrayImage, RgbImage};
    use proptest::prelude::*;

    #[test]
    fn the_kernel_passes_through_its_points() {
        for (x, value) in [
            (0.0, 1.0),
            (1.0, 0.0),
            (2.0, 0.0),
            (0.5, 0.5625),
            (-1.5, -0.0625),
        ] {
            assert_eq!(kernel(x), value);
        }
        // Weights of a constant line make the constant.
        for (from, to) in [(7, 20), (20, 7), (1, 5), (5, 1), (8, 8)] {
            for taps in taps(from, to) {
                assert!((taps.weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
                assert!(taps.first + taps.weights.len() <= from);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_agrees_with_the_image_crate(
            from in (1usize..40, 1usize..40), to in (1usize..40, 1usize..40), seed: u32,
        ) {
            let (width, height) = from;
            let mut state = seed;
            let samples: Vec<u8> = (0..3 * width * height)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            let close = |ours: &[u8], theirs: &[u8]| {
                ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(&a, &b)| a.abs_diff(b) <= 1)
            };
            // The image crate copies a picture of the right size, and so does ours but for rounding.
            let colour = RgbImage::from_raw(width as u32, height as u32, samples.clone()).unwrap();
            let theirs = imageops::resize(&colour, to.0 as u32, to.1 as u32, FilterType::CatmullRom);
            prop_assert!(close(&resize::<3>(&samples, from, to), theirs.as_raw()));
            let grey = GrayImage::from_raw(width as u32, height as u32, samples[..width * height].to_vec()).unwrap();
            let theirs = imageops::resize(&grey, to.0 as u32, to.1 as u32, FilterType::CatmullRom);
            prop_assert!(close(&resize::<1>(&samples[..width * height], from, to), theirs.as_raw()));
        }
    }
}
