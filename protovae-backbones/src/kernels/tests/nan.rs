//! A network that has diverged must not look healthy: ReLU keeps NaN, and no other operation loses one.

use super::cases::{Case, Path};

/// The outputs with the given places of the inputs set to NaN.
fn outputs(case: &Case, places: &[(usize, usize)]) -> Vec<Vec<f32>> {
    assert!(case.is_taken());
    let mut inputs = case.draw(1);
    for &(input, place) in places {
        inputs[input][place] = f32::NAN;
    }
    case.run_without_autodiff(Path::Kernels, &inputs)
}

fn assert_nan(values: &[f32], is_nan: impl Fn(usize) -> bool, what: &str) {
    for (place, value) in values.iter().enumerate() {
        assert_eq!(
            value.is_nan(),
            is_nan(place),
            "{what}: {value} at {place} of {}",
            values.len()
        );
    }
}

/// A batch that is NaN all over.
#[test]
fn all_of_it_shows() {
    for case in [
        Case::batch_norm([2, 1, 4, 4], 1e-5, true),
        Case::affine([2, 1, 4, 4], false),
        Case::affine([2, 1, 4, 4], true),
        Case::convolution(2, [1, 3], [4, 4], [3, 1, 1]),
        Case::transposed(2, [1, 3], [4, 4], [4, 2, 1]),
        Case::convolution(2, [1, 3], [4, 4], [3, 1, 1]).then_affine(),
        Case::linear([2, 5, 3]),
        Case::tanh([2, 1, 4, 4]),
        Case::relu([2, 16]),
        Case::unflatten(2, [3, 2, 2]),
    ] {
        let count = case.shapes[0].iter().product();
        let places: Vec<_> = (0..count).map(|place| (0, place)).collect();
        for (index, output) in outputs(&case, &places).iter().enumerate() {
            assert_nan(output, |_| true, &format!("output {index} of {case:?}"));
        }
    }
}

/// One pixel of one image spreads as far as it is seen, and no farther.
#[test]
fn one_value_shows_where_it_is_seen() {
    // Image 11 of 19, channel 1 of 2, the middle of 3×3.
    let place = (11 * 2 + 1) * 9 + 4;
    let affine = outputs(&Case::affine([19, 2, 3, 3], false), &[(0, place)]);
    assert_nan(&affine[0], |at| at == place, "affine");
    let relu = outputs(&Case::relu([19, 18]), &[(0, place)]);
    assert_nan(&relu[0], |at| at == place, "relu");
    let tanh = outputs(&Case::tanh([19, 2, 3, 3]), &[(0, place)]);
    assert_nan(&tanh[0], |at| at == place, "tanh");
    let pooled = outputs(&Case::affine([19, 2, 3, 3], true), &[(0, place)]);
    assert_nan(&pooled[0], |at| at == 11 * 2 + 1, "pooled");
    let convolution = Case::convolution(19, [2, 3], [3, 3], [3, 1, 1]);
    let convolution = outputs(&convolution, &[(0, place)]);
    assert_nan(&convolution[0], |at| at / 27 == 11, "convolution");
    let transposed = Case::transposed(19, [2, 3], [3, 3], [2, 2, 0]);
    let transposed = outputs(&transposed, &[(0, place)]);
    // Of each 6×6 map the 2×2 pixels in the middle.
    let seen = |at: usize| {
        let (image, row, column) = (at / 108, at % 36 / 6, at % 6);
        image == 11 && row / 2 == 1 && column / 2 == 1
    };
    assert_nan(&transposed[0], seen, "transposed");
    let linear = outputs(&Case::linear([19, 7, 40]), &[(0, 11 * 7 + 3)]);
    assert_nan(&linear[0], |at| at / 40 == 11, "linear");
}

/// The statistics of a channel, and through them all its maps, take over a single NaN.
#[test]
fn a_batch_norm_spreads_it_over_the_channel() {
    for pool in [false, true] {
        let case = Case::batch_norm([19, 2, 4, 4], 1e-5, pool);
        let found = outputs(&case, &[(0, (11 * 2 + 1) * 16 + 5)]);
        let pixels = if pool { 4 } else { 16 };
        assert_nan(&found[0], |at| at / pixels % 2 == 1, "output");
        assert_nan(&found[1], |channel| channel == 1, "mean");
        assert_nan(&found[2], |channel| channel == 1, "variance");
    }
}

/// A weight or bias that is NaN shows in all maps of its channel.
#[test]
fn parameters_show() {
    let convolution = Case::convolution(5, [2, 3], [3, 3], [3, 1, 1]);
    // The middle tap from channel 1 to channel 2, and its bias.
    for place in [(1, (2 * 2 + 1) * 9 + 4), (2, 2)] {
        let found = outputs(&convolution, &[place]);
        assert_nan(&found[0], |at| at / 9 % 3 == 2, "convolution");
    }
    let linear = Case::linear([5, 7, 40]);
    for place in [(1, 3 * 40 + 37), (2, 37)] {
        let found = outputs(&linear, &[place]);
        assert_nan(&found[0], |at| at % 40 == 37, "linear");
    }
    for case in [
        Case::affine([5, 3, 2, 2], false),
        Case::affine([5, 3, 2, 2], true),
        Case::batch_norm([5, 3, 2, 2], 1e-5, false),
    ] {
        for input in [1, 2] {
            let found = outputs(&case, &[(input, 1)]);
            let pixels = found[0].len() / 15;
            let is_nan = |at: usize| at / pixels % 3 == 1;
            assert_nan(&found[0], is_nan, &format!("{case:?}"));
        }
    }
}
