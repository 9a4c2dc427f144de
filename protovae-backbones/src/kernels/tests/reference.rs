//! The operations once more, naively, in `f64` and without burn.

use super::cases::{Case, Operation};

/// The output, flat, for flat inputs.
pub fn output(case: &Case, inputs: &[Vec<f64>]) -> Vec<f64> {
    let shape = |index: usize| -> [usize; 4] { case.shapes[index][..].try_into().unwrap() };
    match case.operation {
        Operation::Convolution { stride, padding } => {
            convolution(inputs, shape(0), shape(1), [stride, padding])
        }
        Operation::TransposedConvolution { stride, padding } => {
            transposed(inputs, shape(0), shape(1), [stride, padding])
        }
        Operation::BatchNorm { epsilon, pool } => {
            let normalised = normalised(&activated(&inputs[0]), shape(0), epsilon);
            affine(&normalised, &inputs[1], &inputs[2], shape(0), pool)
        }
        Operation::Affine { pool } => affine(
            &activated(&inputs[0]),
            &inputs[1],
            &inputs[2],
            shape(0),
            pool,
        ),
        Operation::ConvolutionAffine { .. } => panic!("made of others that are here"),
        Operation::Linear => linear(inputs, &case.shapes[1]),
        Operation::Relu => inputs[0].iter().map(|value| value.max(0.0)).collect(),
        Operation::Tanh => inputs[0].iter().map(|value| value.tanh()).collect(),
        // Images are flattened channel by channel, row by row: the order in memory stays.
        Operation::Unflatten { .. } => inputs[0].clone(),
    }
}

/// Cross-correlation with zeros around the maps.
fn convolution(
    inputs: &[Vec<f64>],
    [batch, channels, height, width]: [usize; 4],
    [outputs, _, kernel, _]: [usize; 4],
    [stride, padding]: [usize; 2],
) -> Vec<f64> {
    let [rows, columns] = [height, width].map(|size| (size + 2 * padding - kernel) / stride + 1);
    let mut found = Vec::with_capacity(batch * outputs * rows * columns);
    for image in 0..batch {
        for output in 0..outputs {
            for place in 0..rows * columns {
                let mut sum = inputs[2][output];
                for tap in 0..channels * kernel * kernel {
                    let channel = tap / (kernel * kernel);
                    let row = place / columns * stride + tap / kernel % kernel;
                    let column = place % columns * stride + tap % kernel;
                    let inside = |at: usize, size: usize| at >= padding && at < size + padding;
                    if inside(row, height) && inside(column, width) {
                        let line = (image * channels + channel) * height + row - padding;
                        let value = inputs[0][line * width + column - padding];
                        sum += value * inputs[1][output * channels * kernel * kernel + tap];
                    }
                }
                found.push(sum);
            }
        }
    }
    found
}

/// Every input pixel adds its kernel to the output; the edges are cut off.
fn transposed(
    inputs: &[Vec<f64>],
    [batch, channels, height, width]: [usize; 4],
    [_, outputs, kernel, _]: [usize; 4],
    [stride, padding]: [usize; 2],
) -> Vec<f64> {
    let [rows, columns] = [height, width].map(|size| (size - 1) * stride + kernel - 2 * padding);
    let mut found = Vec::with_capacity(batch * outputs * rows * columns);
    for _ in 0..batch {
        for bias in &inputs[2] {
            found.extend(std::iter::repeat_n(*bias, rows * columns));
        }
    }
    for (place, value) in inputs[0].iter().enumerate() {
        let (image, channel) = (
            place / (channels * height * width),
            place / (height * width) % channels,
        );
        for output in 0..outputs {
            for tap in 0..kernel * kernel {
                let row = place / width % height * stride + tap / kernel;
                let column = place % width * stride + tap % kernel;
                let inside = |at: usize, size: usize| at >= padding && at < size + padding;
                if inside(row, rows) && inside(column, columns) {
                    let weight = inputs[1][(channel * outputs + output) * kernel * kernel + tap];
                    let line = (image * outputs + output) * rows + row - padding;
                    found[line * columns + column - padding] += value * weight;
                }
            }
        }
    }
    found
}

fn activated(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.max(0.0)).collect()
}

/// Each channel with its mean and biased variance taken out.
fn normalised(
    values: &[f64],
    [batch, channels, height, width]: [usize; 4],
    epsilon: f64,
) -> Vec<f64> {
    let pixels = height * width;
    let channel = |place: usize| place / pixels % channels;
    let count = (batch * pixels) as f64;
    let mut means = vec![0.0; channels];
    for (place, value) in values.iter().enumerate() {
        means[channel(place)] += value / count;
    }
    let mut variances = vec![0.0; channels];
    for (place, value) in values.iter().enumerate() {
        variances[channel(place)] += (value - means[channel(place)]).powi(2) / count;
    }
    let normalise = |(place, value): (usize, &f64)| {
        let channel = channel(place);
        (value - means[channel]) / (variances[channel] + epsilon).sqrt()
    };
    values.iter().enumerate().map(normalise).collect()
}

fn affine(
    values: &[f64],
    scale: &[f64],
    shift: &[f64],
    [batch, channels, height, width]: [usize; 4],
    pool: bool,
) -> Vec<f64> {
    let value = |map: usize, row: usize, column: usize| {
        let channel = map % channels;
        values[(map * height + row) * width + column] * scale[channel] + shift[channel]
    };
    let step = if pool { 2 } else { 1 };
    let mut found = Vec::new();
    for map in 0..batch * channels {
        for row in 0..height / step {
            for column in 0..width / step {
                let window = (0..step * step).map(|index| {
                    value(map, row * step + index / step, column * step + index % step)
                });
                found.push(window.sum::<f64>() / (step * step) as f64);
            }
        }
    }
    found
}

fn linear(inputs: &[Vec<f64>], weight: &[usize]) -> Vec<f64> {
    let (units, outputs) = (weight[0], weight[1]);
    let mut found = Vec::new();
    for row in inputs[0].chunks_exact(units) {
        for output in 0..outputs {
            let products = row.iter().enumerate();
            let products = products.map(|(unit, x)| x * inputs[1][unit * outputs + output]);
            found.push(products.sum::<f64>() + inputs[2][output]);
        }
    }
    found
}
