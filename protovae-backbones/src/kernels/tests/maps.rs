//! Maps keep values and shapes: the way into blocks and back changes nothing, and what the kernels do not take comes out of
//! burn's own operations, right all the same.

use burn::tensor::{DType, Device, Tensor};
use proptest::prelude::*;

use super::values::{bits, close, factors, flat, loss, random, tensor, values};
use crate::kernels::{Maps, conv_transpose2d, conv2d, linear, relu_batch_norm, stock, tanh};

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_way_there_and_back_changes_nothing(
        batch in 1..71usize, channels in 1..41usize, height in 1..11usize, width in 1..11usize, seed: u64,
    ) {
        let shape = [batch, channels, height, width];
        let images = random(shape, seed, &Device::flex());
        let maps = Maps::new(images.clone());
        prop_assert_eq!(maps.dims(), shape);
        let back = maps.into_images();
        prop_assert_eq!(back.dims(), shape);
        prop_assert_eq!(bits(&[values(back)]), bits(&[values(images.clone())]));

        let tracked = Tensor::<4>::from_inner(images.clone()).require_grad();
        let maps = Maps::new(tracked.clone());
        prop_assert!(maps.is_autodiff());
        let back = maps.into_images();
        let gradients = loss(back.clone()).backward();
        prop_assert_eq!(bits(&[values(back)]), bits(&[values(images)]));
        let gradient = values(tracked.grad(&gradients).unwrap());
        prop_assert_eq!(gradient, factors(shape.iter().product()));
    }

    #[test]
    fn unflattening_is_a_permutation(
        batch in 1..71usize, channels in 1..41usize, height in 1..8usize, width in 1..8usize, seed: u64,
    ) {
        let units = channels * height * width;
        let device = Device::flex().autodiff();
        let flat = random([batch, units, 1, 1], seed, &device).require_grad();
        let maps = Maps::new(flat.clone()).unflatten([channels, height, width]);
        prop_assert_eq!(maps.dims(), [batch, channels, height, width]);
        let images = maps.into_images();
        let gradients = loss(images.clone()).backward();
        prop_assert_eq!(bits(&[values(images)]), bits(&[values(flat.clone())]));
        let gradient = values(flat.grad(&gradients).unwrap());
        prop_assert_eq!(gradient, factors(batch * units));
    }
}

/// Special values survive, and −0 stays what it is.
#[test]
fn special_values_come_back() {
    let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-40];
    let all: Vec<f32> = special
        .iter()
        .copied()
        .cycle()
        .take(19 * 2 * 3 * 3)
        .collect();
    let images = tensor(&all, &Device::flex()).reshape([19, 2, 3, 3]);
    let back = Maps::new(images).into_images();
    assert_eq!(bits(&[values(back)]), bits(&[all]));
}

/// A convolution whose kernel is no square is not for these kernels.
#[test]
fn rectangular_kernels_go_to_stock() {
    let device = Device::flex().autodiff();
    let run = |ours: bool| {
        let input = random([19, 3, 6, 6], 1, &device).require_grad();
        let weight = random([4, 3, 3, 2], 2, &device).require_grad();
        let bias = random([4], 3, &device).require_grad();
        let run = if ours { conv2d } else { stock::conv2d };
        let output = run(input.clone(), weight.clone(), bias.clone(), 1, 1);
        let gradients = loss(output.clone()).backward();
        vec![
            values(output),
            values(input.grad(&gradients).unwrap()),
            values(weight.grad(&gradients).unwrap()),
            values(bias.grad(&gradients).unwrap()),
        ]
    };
    assert_eq!(bits(&run(true)), bits(&run(false)));
    // Between layers that are.
    let [input, one] = [[19, 3, 6, 6], [3, 3, 3, 3]].map(|shape| random(shape, 4, &device));
    let (two, bias) = (random([3, 4, 3, 2], 5, &device), random([3], 6, &device));
    let wide = random([4], 7, &device);
    let ours = Maps::new(input.clone())
        .conv2d(one.clone(), bias.clone(), 1, 1)
        .conv_transpose2d(two.clone(), wide.clone(), 2, 1)
        .relu_affine(wide.clone(), wide.clone(), true)
        .into_images();
    let expected = stock::conv2d(input, one, bias, 1, 1);
    let expected = stock::conv_transpose2d(expected, two, wide.clone(), 2, 1);
    let expected = stock::relu_affine(expected, wide.clone(), wide, true);
    assert_eq!(ours.dims(), expected.dims());
    close(&[values(ours)], &[values(expected)], "mixed");
}

/// Other types of values than `f32` are burn's own business.
#[test]
fn doubles_go_to_stock() {
    let device = Device::flex();
    let double = |tensor: Tensor<4>| tensor.cast(DType::F64);
    let input = double(random([5, 2, 4, 4], 1, &device));
    let weight = double(random([2, 2, 3, 3], 2, &device));
    let vector: Tensor<1> = random([2], 3, &device).cast(DType::F64);
    let read = |tensor: Tensor<4>| tensor.into_data().try_to_vec::<f64>().unwrap();
    let normalised = relu_batch_norm(input.clone(), vector.clone(), vector.clone(), 1e-5, true);
    let expected =
        stock::relu_batch_norm(input.clone(), vector.clone(), vector.clone(), 1e-5, true);
    assert_eq!(read(normalised.output), read(expected.output));
    let (x, w, b) = (input.clone(), weight.clone(), vector.clone());
    assert_eq!(
        read(conv2d(x.clone(), w.clone(), b.clone(), 1, 1)),
        read(stock::conv2d(x.clone(), w.clone(), b.clone(), 1, 1))
    );
    assert_eq!(
        read(conv_transpose2d(x.clone(), w.clone(), b.clone(), 2, 1)),
        read(stock::conv_transpose2d(x.clone(), w, b.clone(), 2, 1))
    );
    assert_eq!(read(tanh(x.clone())), read(stock::tanh(x.clone())));
    assert_eq!(read(Maps::new(x.clone()).into_images()), read(x.clone()));
    let rows = x.reshape([80, 2]);
    let square = weight.narrow(2, 0, 1).narrow(3, 0, 1).reshape([2, 2]);
    let read = |tensor: Tensor<2>| tensor.into_data().try_to_vec::<f64>().unwrap();
    assert_eq!(
        read(linear(rows.clone(), square.clone(), b.clone())),
        read(stock::linear(rows, square, b))
    );
}

/// A loss of the sum hands back a gradient that is one value expanded, without memory of its own for each.
#[test]
fn an_expanded_gradient_is_read_right() {
    let device = Device::flex().autodiff();
    let input = random([19, 3, 4, 4], 1, &device).require_grad();
    let output = Maps::new(input.clone()).into_images();
    let gradient = input.grad(&output.sum().backward()).unwrap();
    assert!(values(flat(gradient)).iter().all(|value| *value == 1.0));
}
