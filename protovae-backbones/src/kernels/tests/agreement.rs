//! On random shapes the kernels agree with burn's own operations, in values and all gradients, and give the same bits with
//! and without autodiff. Batches fill their blocks partly or need several of them.

use proptest::prelude::*;

use super::cases::{Case, Path};

fn settings(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        // A failing case prints its shapes and seed, which say it all.
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn batch() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 1..10usize, 2 => 10..71usize]
}

fn channels() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 1..6usize, 1 => 6..41usize]
}

/// Products of a convolution; more than that would take long.
fn is_small(products: &[usize]) -> bool {
    products.iter().product::<usize>() <= 2_000_000
}

proptest! {
    #![proptest_config(settings(160))]

    #[test]
    fn convolution(
        batch in batch(), inputs in channels(), outputs in channels(), height in 1..11usize, width in 1..11usize,
        kernel in 1..5usize, stride in 1..4usize, padding in 0..3usize, seed: u64,
    ) {
        prop_assume!(height + 2 * padding >= kernel && width + 2 * padding >= kernel);
        let out = |size: usize| (size + 2 * padding - kernel) / stride + 1;
        prop_assume!(is_small(&[batch, inputs, outputs, out(height), out(width), kernel, kernel]));
        let case = Case::convolution(batch, [inputs, outputs], [height, width], [kernel, stride, padding]);
        case.check(seed);
        case.then_affine().check(seed);
    }

    #[test]
    fn transposed_convolution(
        batch in batch(), inputs in channels(), outputs in channels(), height in 1..9usize, width in 1..9usize,
        kernel in 1..5usize, stride in 1..4usize, padding in 0..3usize, seed: u64,
    ) {
        prop_assume!((height - 1) * stride + kernel > 2 * padding && (width - 1) * stride + kernel > 2 * padding);
        prop_assume!(is_small(&[batch, inputs, outputs, height, width, kernel, kernel]));
        let case = Case::transposed(batch, [inputs, outputs], [height, width], [kernel, stride, padding]);
        case.check(seed);
        case.then_affine().check(seed);
    }

    #[test]
    fn batch_norm(
        batch in batch(), channels in channels(), height in 1..11usize, width in 1..11usize, pool: bool, seed: u64,
    ) {
        prop_assume!(!pool || (height > 1 && width > 1));
        Case::batch_norm([batch, channels, height, width], 1e-2, pool).check(seed);
    }

    #[test]
    fn affine(
        batch in batch(), channels in channels(), height in 1..11usize, width in 1..11usize, pool: bool, seed: u64,
    ) {
        prop_assume!(!pool || (height > 1 && width > 1));
        Case::affine([batch, channels, height, width], pool).check(seed);
    }

    #[test]
    fn linear(samples in 1..141usize, inputs in 1..91usize, outputs in 1..91usize, seed: u64) {
        Case::linear([samples, inputs, outputs]).check(seed);
    }

    #[test]
    fn tanh(
        batch in batch(), channels in channels(), height in 1..11usize, width in 1..11usize, seed: u64,
    ) {
        Case::tanh([batch, channels, height, width]).check(seed);
        Case::relu([batch, channels * height * width]).check(seed);
    }

    #[test]
    fn unflattening(
        batch in batch(), channels in channels(), height in 1..8usize, width in 1..8usize, seed: u64,
    ) {
        Case::unflatten(batch, [channels, height, width]).check(seed);
    }
}

/// If the kernels quietly left everything to burn, all other tests here would pass: no two ways to add up so many products
/// round alike everywhere.
#[test]
fn the_kernels_are_not_stock() {
    for case in [
        Case::convolution(19, [20, 24], [9, 9], [3, 1, 1]),
        Case::transposed(19, [20, 24], [7, 7], [4, 2, 1]),
        Case::batch_norm([33, 12, 9, 9], 1e-5, true),
        Case::tanh([33, 3, 16, 16]),
    ] {
        let inputs = case.draw(1);
        let ours = case.run(Path::Kernels, &inputs);
        let stock = case.run(Path::Stock, &inputs);
        assert_ne!(ours.outputs[0], stock.outputs[0], "{case:?}");
    }
}
