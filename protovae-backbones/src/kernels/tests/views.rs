//! Tensors that are views of others (transposed, cut out, expanded), as inputs and as gradients of the outputs, give what
//! copies of them would.

use burn::tensor::{Device, Tensor};

use super::values::{bits, close, loss, random, values};
use crate::kernels::{
    Maps, conv_transpose2d, conv2d, linear, relu_affine, relu_batch_norm, stock, tanh,
};

/// The same values in memory of their own, in order.
fn copied<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
    Tensor::from_data(tensor.clone().into_data(), &tensor.device())
}

/// `[19, 3, 6, 6]` in three ways that are not one value after the other.
fn views(device: &Device) -> [Tensor<4>; 3] {
    [
        random([19, 3, 6, 6], 1, device).swap_dims(2, 3),
        random([6, 5, 40, 6], 2, device)
            .permute([2, 1, 0, 3])
            .narrow(0, 20, 19)
            .narrow(1, 1, 3),
        random([19, 1, 6, 1], 3, device).expand([19, 3, 6, 6]),
    ]
}

#[test]
fn inputs_may_be_views() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let weight = random([3, 3, 3, 4], 4, &device)
            .narrow(3, 1, 3)
            .swap_dims(0, 1);
        let vector = random([7], 5, &device).narrow(0, 2, 3);
        for input in views(&device) {
            let run = |copy: bool| {
                let (x, w, b) = if copy {
                    (copied(&input), copied(&weight), copied(&vector))
                } else {
                    (input.clone(), weight.clone(), vector.clone())
                };
                let normalised = relu_batch_norm(x.clone(), b.clone(), b.clone(), 1e-5, true);
                let rows = x.clone().narrow(3, 1, 3).narrow(2, 2, 1);
                let rows = rows.narrow(1, 1, 1).reshape([19, 3]);
                let square = w.clone().narrow(2, 1, 1).reshape([3, 9]);
                let square = square.narrow(1, 0, 3).transpose();
                [
                    conv2d(x.clone(), w.clone(), b.clone(), 2, 1),
                    conv_transpose2d(x.clone(), w, b.clone(), 2, 1),
                    normalised.output,
                    relu_affine(x.clone(), b.clone(), b.clone(), false),
                    tanh(x.clone()),
                    Maps::new(x).into_images(),
                    linear(rows, square, b).reshape([19, 3, 1, 1]),
                ]
                .map(values)
            };
            assert_eq!(bits(&run(false)), bits(&run(true)));
        }
    }
}

/// The gradient of an output arrives transposed, cut out or expanded.
#[test]
fn gradients_of_outputs_may_be_views() {
    let device = Device::flex().autodiff();
    type Reader = fn(Tensor<4>) -> Tensor<1>;
    let readers: [Reader; 4] = [
        |output| output.sum(),
        |output| output.mean_dim(0).sum(),
        |output| loss(output.swap_dims(2, 3).narrow(1, 1, 2)),
        |output| loss(output.permute([3, 1, 2, 0])),
    ];
    type Layer = fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>;
    let layers: [(Layer, Layer); 6] = [
        (
            |x, w, b| conv2d(x, w, b, 1, 1),
            |x, w, b| stock::conv2d(x, w, b, 1, 1),
        ),
        (
            |x, w, b| conv_transpose2d(x, w, b, 2, 1),
            |x, w, b| stock::conv_transpose2d(x, w, b, 2, 1),
        ),
        (
            |x, _, b| relu_batch_norm(x, b.clone(), b, 1e-2, false).output,
            |x, _, b| stock::relu_batch_norm(x, b.clone(), b, 1e-2, false).output,
        ),
        (
            |x, _, b| relu_affine(x, b.clone(), b, true),
            |x, _, b| stock::relu_affine(x, b.clone(), b, true),
        ),
        (|x, _, _| tanh(x), |x, _, _| stock::tanh(x)),
        (
            |x, w, b| {
                let square = w.reshape([9, 9]).narrow(0, 0, 6).narrow(1, 0, 3);
                linear(x.reshape([342, 6]), square, b).reshape([19, 3, 6, 3])
            },
            |x, w, b| {
                let square = w.reshape([9, 9]).narrow(0, 0, 6).narrow(1, 0, 3);
                stock::linear(x.reshape([342, 6]), square, b).reshape([19, 3, 6, 3])
            },
        ),
    ];
    for (index, (ours, stock)) in layers.into_iter().enumerate() {
        for (reader, read) in readers.iter().enumerate() {
            let run = |layer: Layer| {
                let input = random([19, 3, 6, 6], 6, &device).require_grad();
                let weight = random([3, 3, 3, 3], 7, &device).require_grad();
                let bias = random([3], 8, &device).require_grad();
                let output = layer(input.clone(), weight.clone(), bias.clone());
                let gradients = read(output).backward();
                let mut found = vec![values(input.grad(&gradients).unwrap())];
                found.extend(weight.grad(&gradients).map(values));
                found.extend(bias.grad(&gradients).map(values));
                found
            };
            close(
                &run(ours),
                &run(stock),
                &format!("layer {index}, reader {reader}"),
            );
        }
    }
}

type Convolution = fn(Tensor<4>, Tensor<4>, Tensor<1>, usize, usize) -> Tensor<4>;

/// A tensor that is used twice gets the sum of both gradients.
#[test]
fn gradients_add_up() {
    let device = Device::flex().autodiff();
    let run = |ours: bool| {
        let input = random([19, 3, 6, 6], 9, &device).require_grad();
        let weight = random([3, 3, 3, 3], 10, &device).require_grad();
        let bias = random([3], 11, &device).require_grad();
        let (down, up): (Convolution, Convolution) = if ours {
            (conv2d, conv_transpose2d)
        } else {
            (stock::conv2d, stock::conv_transpose2d)
        };
        let first: Tensor<4> = down(input.clone(), weight.clone(), bias.clone(), 1, 1);
        let second: Tensor<4> = up(
            first.clone() + input.clone(),
            weight.clone(),
            bias.clone(),
            1,
            1,
        );
        let gradients = loss(first * second).backward();
        vec![
            values(input.grad(&gradients).unwrap()),
            values(weight.grad(&gradients).unwrap()),
            values(bias.grad(&gradients).unwrap()),
        ]
    };
    close(&run(true), &run(false), "used twice");
}
