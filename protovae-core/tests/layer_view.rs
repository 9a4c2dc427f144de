//! Layers as relevance propagation sees them, worked out by hand: max pooling, global pooling, residual branches.

#![allow(clippy::unwrap_used, missing_docs)]

use burn::tensor::{Device, Tensor};
use protovae_core::plugin::{Activation, LayerView};

fn maps(values: &[[f32; 3]; 3]) -> Activation {
    let maps = Tensor::<2>::from_floats(*values, &Device::flex());
    Activation::Maps(maps.reshape([1, 1, 3, 3]))
}

fn flat(activation: Activation) -> (Vec<usize>, Vec<f32>) {
    match activation {
        Activation::Maps(maps) => (maps.dims().to_vec(), maps.into_data().iter().collect()),
        Activation::Flat(rows) => (rows.dims().to_vec(), rows.into_data().iter().collect()),
    }
}

const IMAGE: [[f32; 3]; 3] = [[-1.0, -2.0, 3.0], [-4.0, -5.0, -6.0], [-7.0, -8.0, -9.0]];

fn affine(scale: f32, shift: f32) -> LayerView {
    LayerView::ChannelAffine {
        scale: Tensor::from_floats([scale], &Device::flex()),
        shift: Tensor::from_floats([shift], &Device::flex()),
    }
}

#[test]
fn padding_never_wins_a_window() {
    let view = LayerView::MaxPool2d {
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1, 1],
    };
    let (shape, values) = flat(view.apply(maps(&IMAGE)).unwrap());
    assert_eq!(shape, [1, 1, 2, 2]);
    assert_eq!(values, [-1.0, 3.0, -4.0, -5.0]);
    let uneven = LayerView::MaxPool2d {
        kernel: [1, 3],
        stride: [2, 1],
        padding: [0, 0],
    };
    let (shape, values) = flat(uneven.apply(maps(&IMAGE)).unwrap());
    assert_eq!(shape, [1, 1, 2, 1]);
    assert_eq!(values, [3.0, -7.0]);
    assert!(
        view.apply(Activation::Flat(Tensor::zeros([1, 9], &Device::flex())))
            .is_none()
    );
}

#[test]
fn global_pooling_is_the_mean_of_each_map() {
    let batch = Tensor::<4>::from_floats(
        [[[[1.0f32, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, -4.0]]]],
        &Device::flex(),
    );
    let pooled = LayerView::GlobalAvgPool.apply(Activation::Maps(batch));
    assert_eq!(flat(pooled.unwrap()), (vec![1, 2, 1, 1], vec![3.0, -1.0]));
}

#[test]
fn branches_are_added() {
    let view = LayerView::Residual {
        body: vec![affine(2.0, 1.0), LayerView::Relu],
        shortcut: Vec::new(),
    };
    let (_, values) = flat(view.apply(maps(&IMAGE)).unwrap());
    // The body: 2x + 1 cut off at zero, which leaves 7 for the 3 alone.
    let expected: Vec<f32> = IMAGE.concat().iter().map(|x| x.max(-9.0)).collect();
    assert_eq!(values[2], 10.0);
    assert_eq!(values[..2], expected[..2]);
    assert_eq!(values[3..], expected[3..]);

    let both = LayerView::Residual {
        body: vec![affine(2.0, 0.0)],
        shortcut: vec![affine(-2.0, 5.0)],
    };
    let (_, values) = flat(both.apply(maps(&IMAGE)).unwrap());
    assert_eq!(values, [5.0; 9]);

    // Branches of rows are added too.
    let weight = Tensor::from_floats([[0.0f32, 1.0], [1.0, 0.0]], &Device::flex());
    let swap = LayerView::Linear { weight, bias: None };
    let rows = LayerView::Residual {
        body: vec![swap],
        shortcut: Vec::new(),
    };
    let row = Tensor::<2>::from_floats([[1.0, 10.0]], &Device::flex());
    let (_, values) = flat(rows.apply(Activation::Flat(row)).unwrap());
    assert_eq!(values, [11.0, 11.0]);
}

#[test]
fn branches_that_do_not_fit_are_refused() {
    for shortcut in [vec![LayerView::GlobalAvgPool], vec![LayerView::Flatten]] {
        let view = LayerView::Residual {
            body: Vec::new(),
            shortcut,
        };
        assert!(view.apply(maps(&IMAGE)).is_none());
    }
}

#[test]
fn a_replay_has_to_end_flat() {
    let Activation::Maps(image) = maps(&IMAGE) else {
        unreachable!()
    };
    let layers = [LayerView::GlobalAvgPool, LayerView::Flatten];
    let means = LayerView::replay(&layers, image.clone()).unwrap();
    assert_eq!(means.dims(), [1, 1]);
    let mean: Vec<f32> = means.into_data().iter().collect();
    assert!((mean[0] + 39.0 / 9.0).abs() < 1e-6);
    assert!(LayerView::replay(&layers[..1], image).is_none());
}

#[test]
fn layers_of_other_widths_are_refused() {
    let device = Device::flex();
    let flat = || Activation::Flat(Tensor::ones([2, 12], &device));
    let maps = || Activation::Maps(Tensor::ones([2, 3, 4, 4], &device));
    let linear = |inputs, bias| LayerView::Linear {
        weight: Tensor::ones([inputs, 5], &device),
        bias: Some(Tensor::ones([bias], &device)),
    };
    assert!(linear(12, 5).apply(flat()).is_some());
    assert!(linear(10, 5).apply(flat()).is_none());
    assert!(linear(12, 4).apply(flat()).is_none());

    let convolution = |inputs, bias, side, stride, padding| LayerView::Conv2d {
        weight: Tensor::ones([6, inputs, side, side], &device),
        bias: Some(Tensor::ones([bias], &device)),
        stride: [stride, 1],
        padding: [padding, padding],
    };
    assert!(convolution(3, 6, 4, 1, 0).apply(maps()).is_some());
    assert!(convolution(3, 6, 6, 1, 1).apply(maps()).is_some());
    for layer in [
        convolution(2, 6, 3, 1, 0),
        convolution(1, 6, 3, 1, 0),
        convolution(3, 1, 3, 1, 0),
        convolution(3, 6, 5, 1, 0),
        convolution(3, 6, 3, 0, 0),
    ] {
        assert!(layer.apply(maps()).is_none(), "{layer:?}");
    }

    let channels = |scale, shift| LayerView::ChannelAffine {
        scale: Tensor::ones([scale], &device),
        shift: Tensor::ones([shift], &device),
    };
    assert!(channels(3, 3).apply(maps()).is_some());
    assert!(channels(4, 4).apply(maps()).is_none());
    assert!(channels(3, 1).apply(maps()).is_none());
    let one = Activation::Maps(Tensor::ones([2, 1, 4, 4], &device));
    assert!(channels(3, 3).apply(one).is_none());

    for (kernel, stride, fits) in [
        ([4, 4], [1, 1], true),
        ([5, 2], [1, 1], false),
        ([2, 0], [1, 1], false),
        ([2, 2], [1, 0], false),
    ] {
        let mean = LayerView::AvgPool2d { kernel, stride };
        assert_eq!(mean.apply(maps()).is_some(), fits, "{mean:?}");
        let padding = [0, 0];
        let most = LayerView::MaxPool2d {
            kernel,
            stride,
            padding,
        };
        assert_eq!(most.apply(maps()).is_some(), fits, "{most:?}");
    }

    let Activation::Maps(images) = maps() else {
        unreachable!()
    };
    let layers = [LayerView::Flatten, linear(10, 5)];
    assert!(LayerView::replay(&layers, images).is_none());
}
