//! The kernels at every width of vectors that the processor has.
//!
//! The width is chosen once a process, so the test runs itself again, once for each limit that `PROTOVAE_SIMD` knows, and
//! compares what comes back: between the widths and with burn's own operations. Where the processor has fewer widths, some
//! of the runs are the same.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use burn::tensor::{Device, Tensor};
use protovae_backbones::kernels::{self, Maps, stock};

use common::{flat, loss, noise};

/// Limits the width of vectors: see [`protovae_backbones::kernels`].
const LIMIT: &str = "PROTOVAE_SIMD";

/// Where a run of this test as a child writes its results.
const RESULTS: &str = "PROTOVAE_TEST_RESULTS";

/// Images: neither a multiple of any width nor less than the widest block.
const BATCH: usize = 37;

/// Tensors that both ways share, each wanting a gradient.
struct Inputs {
    images: Tensor<4>,
    /// Of a convolution, a strided one, two transposed ones.
    weights: [Tensor<4>; 4],
    matrix: Tensor<2>,
    vectors: Vec<Tensor<1>>,
}

impl Inputs {
    fn new() -> Self {
        let device = Device::flex().autodiff();
        let vectors = [13, 13, 13, 10, 10, 10, 68, 68, 68, 11, 11, 11, 3];
        Self {
            images: noise([BATCH, 3, 10, 10], 1, &device).require_grad(),
            weights: [[13, 3, 3, 3], [10, 13, 4, 4], [17, 11, 4, 4], [11, 3, 4, 4]]
                .map(|shape| noise(shape, shape[0] as u64, &device).require_grad()),
            matrix: noise([40, 68], 2, &device).require_grad(),
            vectors: (3..)
                .zip(vectors)
                .map(|(seed, length)| noise([length], seed, &device).require_grad())
                .collect(),
        }
    }

    /// Outputs of both ends and all gradients of their loss.
    fn results(&self, features: Tensor<2>, images: Tensor<4>) -> Vec<Vec<f32>> {
        let gradients = (loss(features.clone()) + loss(images.clone())).backward();
        let mut results = vec![flat(&features), flat(&images)];
        results.push(flat(&self.images.grad(&gradients).unwrap()));
        results.push(flat(&self.matrix.grad(&gradients).unwrap()));
        for weight in &self.weights {
            results.push(flat(&weight.grad(&gradients).unwrap()));
        }
        for vector in &self.vectors {
            results.push(flat(&vector.grad(&gradients).unwrap()));
        }
        results
    }
}

const EPSILON: f64 = 1e-3;

/// Through every kernel, maps staying in blocks between them.
fn by_kernels(inputs: &Inputs) -> Vec<Vec<f32>> {
    let [first, second, third, fourth] = inputs.weights.clone();
    let vector = |index: usize| inputs.vectors[index].clone();
    let maps = Maps::new(inputs.images.clone())
        .conv2d(first, vector(0), 1, 1)
        .relu_batch_norm(vector(1), vector(2), EPSILON, true)
        .maps
        .conv2d(second, vector(3), 2, 1)
        .relu_affine(vector(4), vector(5), false);
    let features = maps.into_images().reshape([BATCH, 40]);
    let units = kernels::linear(features.clone(), inputs.matrix.clone(), vector(6));
    let maps = Maps::new(units.reshape([BATCH, 68, 1, 1]))
        .relu_batch_norm(vector(7), vector(8), EPSILON, false)
        .maps
        .unflatten([17, 2, 2])
        .conv_transpose2d(third, vector(9), 2, 1)
        .relu_batch_norm(vector(10), vector(11), EPSILON, false)
        .maps
        .conv_transpose2d(fourth, vector(12), 2, 1);
    inputs.results(features, kernels::tanh(maps.into_images() * 0.1))
}

/// The same by burn's own operations.
fn by_stock(inputs: &Inputs) -> Vec<Vec<f32>> {
    let [first, second, third, fourth] = inputs.weights.clone();
    let vector = |index: usize| inputs.vectors[index].clone();
    let x = stock::conv2d(inputs.images.clone(), first, vector(0), 1, 1);
    let x = stock::relu_batch_norm(x, vector(1), vector(2), EPSILON, true).output;
    let x = stock::conv2d(x, second, vector(3), 2, 1);
    let x = stock::relu_affine(x, vector(4), vector(5), false);
    let features = x.reshape([BATCH, 40]);
    let units = stock::linear(features.clone(), inputs.matrix.clone(), vector(6));
    let x = units.reshape([BATCH, 68, 1, 1]);
    let x = stock::relu_batch_norm(x, vector(7), vector(8), EPSILON, false).output;
    let x = x.reshape([BATCH, 17, 2, 2]);
    let x = stock::conv_transpose2d(x, third, vector(9), 2, 1);
    let x = stock::relu_batch_norm(x, vector(10), vector(11), EPSILON, false).output;
    let x = stock::conv_transpose2d(x, fourth, vector(12), 2, 1);
    inputs.results(features, stock::tanh(x * 0.1))
}

/// The child's part: does nothing unless it is told where to write.
#[test]
fn results_at_this_width() {
    if let Some(path) = std::env::var_os(RESULTS) {
        let results = by_kernels(&Inputs::new());
        std::fs::write(path, serde_json::to_vec(&results).unwrap()).unwrap();
    }
}

/// What a process with this limit on the width computes.
fn results_with_limit(limit: &str) -> Vec<Vec<f32>> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path: PathBuf = directory.join(format!("simd-{limit}-{}.json", std::process::id()));
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "results_at_this_width", "--test-threads=1"]);
    child.env(LIMIT, limit).env(RESULTS, &path);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{limit}: {output:?}");
    let results = std::fs::read(&path).expect("the child should have written its results");
    std::fs::remove_file(path).unwrap();
    serde_json::from_slice(&results).unwrap()
}

fn close(found: &[Vec<f32>], expected: &[Vec<f32>], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "{what}: tensor {index}");
        let largest = expected
            .iter()
            .fold(0.0f32, |largest, value| largest.max(value.abs()));
        assert!(largest > 0.0, "{what}: tensor {index} is zero");
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() <= 1e-4 * largest,
                "{what}, tensor {index}: {found} against {expected}, largest {largest}"
            );
        }
    }
}

#[test]
fn all_widths_agree() {
    let stock = by_stock(&Inputs::new());
    // The last is no limit at all.
    let limits = ["portable", "sse2", "avx2", "none"];
    let found = limits.map(results_with_limit);
    for (results, limit) in found.iter().zip(limits) {
        close(results, &stock, &format!("{limit} against stock"));
        close(results, &found[0], &format!("{limit} against portable"));
    }
    // On x86-64, in eights products are added without rounding in between, which shows; if it did not, the limit would not
    // have been heard.
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        assert_ne!(found[1], found[2]);
    }
}
