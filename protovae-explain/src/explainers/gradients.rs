//! Gradients of scores with respect to images.

use burn::tensor::{Int, Tensor};
use protovae_core::model::{BoxModel, Prediction};
use protovae_core::{Error, Result};

use super::scores::{Columns, rows_at_once};

/// The gradient of a number `[1]` made of a model's prediction with respect to the images, `[N, C, H, W]` without autodiff.
///
/// `model` is in evaluation mode, `images` are without autodiff.
pub(crate) fn input_gradient(
    model: &BoxModel,
    images: Tensor<4>,
    score: impl FnOnce(Prediction) -> Result<Tensor<1>>,
) -> Result<Tensor<4>> {
    let input = Tensor::from_inner(images).require_grad();
    let gradients = score(model.predict(input.clone()))?.backward();
    input.grad(&gradients).ok_or_else(|| Error::Unsupported {
        model: model.kind().to_string(),
        what: "gradient with respect to its input",
    })
}

/// Each image once for each of `targets` targets, `[N·T, C, H, W]`, image by image.
pub(super) fn repeated(images: Tensor<4>, targets: usize) -> Tensor<4> {
    let samples = images.dims()[0];
    rows(&images, (0..samples * targets).map(|row| row / targets))
}

fn rows(images: &Tensor<4>, rows: impl Iterator<Item = usize>) -> Tensor<4> {
    let index: Vec<i64> = rows.map(|row| row as i64).collect();
    let index = Tensor::<1, Int>::from_data(index.as_slice(), &images.device());
    images.clone().select(0, index)
}

/// The gradient of every target's score at every image, `[N·T, C, H, W]`: one pass forward and one backward for as many pairs
/// of image and target as the memory should hold.
pub(super) fn target_gradients(
    model: &BoxModel,
    images: &Tensor<4>,
    columns: &Columns,
) -> Result<Tensor<4>> {
    let [samples, _, height, width] = images.dims();
    let targets = columns.len();
    let (all, together) = (samples * targets, rows_at_once(height, width));
    let chunk = |start: usize| -> Result<Tensor<4>> {
        let pairs = start..all.min(start + together);
        let batch = rows(images, pairs.clone().map(|row| row / targets));
        let asked: Vec<usize> = pairs.map(|row| row % targets).collect();
        input_gradient(model, batch, |prediction| {
            columns.sum_of(prediction, &asked)
        })
    };
    let chunks: Result<Vec<Tensor<4>>> = (0..all).step_by(together).map(chunk).collect();
    Ok(Tensor::cat(chunks?, 0))
}
