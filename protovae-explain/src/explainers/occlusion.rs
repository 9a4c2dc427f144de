//! Occlusion (Zeiler and Fergus 2014).

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use protovae_core::model::BoxModel;
use protovae_core::plugin::{Explainer, ExplainerConfig, Explanation, Target};
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::scores::{Columns, rows_at_once};

/// How much a target's score falls when a square window of the image is covered, averaged for each pixel over the windows that
/// cover it. Tag `occlusion`.
///
/// The covered pixels become grey, the middle of the range: black would hide nothing where a digit's background is black, and
/// tell nothing of it. All channels are covered at once and share the drop equally. Windows stand `stride` apart, and one more
/// at the far edge where they would not reach it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Occlusion {
    /// Pixels a side of the window, at least 1; default 4. In an image smaller than that, the window is the image.
    pub window: usize,
    /// Pixels from window to window, 1 to `window`; default 2.
    pub stride: usize,
    /// What covered pixels become, in `[-1, 1]`; default 0, grey.
    pub fill: f64,
}

impl Default for Occlusion {
    fn default() -> Self {
        Self {
            window: 4,
            stride: 2,
            fill: 0.0,
        }
    }
}

#[typetag::serde(name = "occlusion")]
impl ExplainerConfig for Occlusion {
    fn build(&self) -> Result<Box<dyn Explainer>> {
        if self.window == 0 {
            return Err(Error::config("window", "must be at least 1"));
        }
        if self.stride == 0 || self.stride > self.window {
            return Err(Error::config(
                "stride",
                format!(
                    "must lie between 1 and the window's {} or pixels are left out, not {}",
                    self.window, self.stride
                ),
            ));
        }
        if !(-1.0..=1.0).contains(&self.fill) {
            return Err(Error::config(
                "fill",
                format!("must lie between -1 and 1, not {}", self.fill),
            ));
        }
        Ok(Box::new(*self))
    }
}

/// Where windows begin along a side of `length` pixels, and how long they are.
fn starts(length: usize, window: usize, stride: usize) -> (Vec<usize>, usize) {
    let window = window.min(length);
    let last = length - window;
    let mut starts: Vec<usize> = (0..=last).step_by(stride.max(1)).collect();
    if starts.last() != Some(&last) {
        starts.push(last);
    }
    (starts, window)
}

/// The pixels of a plane that a window covers.
fn covered(
    top: usize,
    left: usize,
    rows: usize,
    columns: usize,
    width: usize,
) -> impl Iterator<Item = usize> {
    (top..top + rows).flat_map(move |y| (left..left + columns).map(move |x| y * width + x))
}

impl Explainer for Occlusion {
    fn name(&self) -> &str {
        "occlusion"
    }

    fn explain(
        &self,
        model: &BoxModel,
        images: Tensor<4>,
        targets: &[Target],
    ) -> Result<Explanation> {
        let model = model.valid();
        let images = images.without_autodiff();
        let columns = Columns::new(&model, &images, targets)?;
        let [samples, channels, height, width] = images.dims();
        let (device, targets_count) = (images.device(), targets.len());
        let (plane, pixels) = (height * width, channels * height * width);
        let values: Vec<f32> = images.into_data().iter::<f32>().collect();

        let (tops, rows) = starts(height, self.window, self.stride);
        let (lefts, across) = starts(width, self.window, self.stride);
        let windows: Vec<Vec<usize>> = tops
            .iter()
            .flat_map(|top| lefts.iter().map(move |left| (*top, *left)))
            .map(|(top, left)| covered(top, left, rows, across, width).collect())
            .collect();

        // The image itself comes first, then one copy a window.
        let copies = windows.len() + 1;
        let together = rows_at_once(height, width);
        let all = samples * copies;
        let mut before = vec![0f32; targets_count];
        let mut relevance = vec![0f32; samples * targets_count * plane];
        for start in (0..all).step_by(together) {
            let pairs = start..all.min(start + together);
            let mut batch = Vec::with_capacity(pairs.len() * pixels);
            for pair in pairs.clone() {
                let image = pair / copies;
                let at = batch.len();
                batch.extend_from_slice(&values[image * pixels..(image + 1) * pixels]);
                let Some(window) = (pair % copies).checked_sub(1) else {
                    continue;
                };
                for channel in 0..channels {
                    for pixel in &windows[window] {
                        batch[at + channel * plane + pixel] = self.fill as f32;
                    }
                }
            }
            let dims = [pairs.len(), channels, height, width];
            let batch = Tensor::from_data(TensorData::new(batch, dims), &device);
            let scores = columns.scores(model.predict(batch))?;
            let scores: Vec<f32> = scores.into_data().iter::<f32>().collect();
            for (pair, scores) in pairs.zip(scores.chunks_exact(targets_count)) {
                let image = pair / copies;
                let Some(window) = (pair % copies).checked_sub(1) else {
                    before.copy_from_slice(scores);
                    continue;
                };
                for (target, (before, after)) in before.iter().zip(scores).enumerate() {
                    let map = (image * targets_count + target) * plane;
                    for pixel in &windows[window] {
                        relevance[map + pixel] += before - after;
                    }
                }
            }
        }

        let mut counts = vec![0f32; plane];
        for pixel in windows.iter().flatten() {
            counts[*pixel] += channels as f32;
        }
        for map in relevance.chunks_exact_mut(plane.max(1)) {
            for (value, count) in map.iter_mut().zip(&counts) {
                *value /= count;
            }
        }
        let maps = samples * targets_count;
        let relevance = Tensor::<4>::from_data(
            TensorData::new(relevance, [maps, 1, height, width]),
            &device,
        );
        Ok(Explanation {
            relevance: relevance.expand([maps, channels, height, width]),
            targets: targets.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_reach_both_edges() {
        assert_eq!(starts(28, 4, 2).0.len(), 13);
        assert_eq!(starts(7, 4, 2), (vec![0, 2, 3], 4));
        assert_eq!(starts(3, 4, 2), (vec![0], 3));
        let pixels: Vec<usize> = covered(1, 2, 2, 2, 5).collect();
        assert_eq!(pixels, [7, 8, 12, 13]);
    }
}
