//! Memory that is taken again holds what was there before: every operation writes all of what it gives.

use burn::tensor::{Device, Tensor};

use super::cases::{Case, Path};
use super::values::close;
use crate::kernels::layout::Layout;
use crate::kernels::tanh;

/// Leaves a block of so many NaN behind, which the next large tensor of that size takes.
fn leave_nan(values: usize) {
    let device = Device::flex();
    drop(tanh(Tensor::full([1, 1, 1, values], f32::NAN, &device)));
}

#[test]
fn no_old_values_come_out() {
    for (case, output) in [
        (
            Case::convolution(33, [3, 20], [14, 14], [3, 1, 1]),
            [33, 20, 14, 14],
        ),
        (
            Case::convolution(33, [20, 9], [14, 15], [3, 2, 0]),
            [33, 9, 6, 7],
        ),
        (
            Case::transposed(33, [20, 5], [7, 7], [4, 2, 1]),
            [33, 5, 14, 14],
        ),
        // Pixels that no tap reaches.
        (
            Case::transposed(33, [9, 9], [7, 7], [2, 3, 0]),
            [33, 9, 20, 20],
        ),
        (
            Case::batch_norm([33, 20, 14, 14], 1e-5, false),
            [33, 20, 14, 14],
        ),
        // A last row and column that pooling leaves out.
        (
            Case::batch_norm([33, 20, 15, 15], 1e-5, true),
            [33, 20, 7, 7],
        ),
        (Case::affine([33, 20, 15, 15], true), [33, 20, 7, 7]),
        (Case::unflatten(33, [64, 7, 7]), [33, 64, 7, 7]),
        (Case::linear([70, 500, 600]), [70, 600, 1, 1]),
        (Case::tanh([33, 5, 17, 17]), [33, 5, 17, 17]),
    ] {
        assert!(case.is_taken());
        let inputs = case.draw(1);
        let expected = case.run(Path::Stock, &inputs);
        let mut sizes: Vec<usize> = case
            .shapes
            .iter()
            .map(|shape| shape.iter().product())
            .collect();
        sizes.push(output.iter().product());
        // In blocks there are more, if the batch does not fill the last one.
        sizes.push(Layout::new(output).unwrap().values());
        if let [batch, channels, height, width] = case.shapes[0][..] {
            let layout = Layout::new([batch, channels, height, width]);
            sizes.push(layout.unwrap().values());
        }
        for _ in 0..3 {
            for &size in &sizes {
                leave_nan(size);
            }
            let found = case.run(Path::Kernels, &inputs);
            close(&found.all(), &expected.all(), &format!("{case:?}"));
        }
    }
}
