//! A gradient is only computed for what asks for one, and is the same bit for bit without the others.

use super::cases::{Case, Path};
use super::values::bits;

#[test]
fn gradients_can_be_wanted_singly() {
    for case in [
        Case::convolution(3, [2, 4], [5, 5], [3, 1, 1]),
        Case::transposed(19, [2, 4], [5, 5], [4, 2, 1]),
        Case::batch_norm([19, 3, 4, 4], 1e-5, false),
        Case::batch_norm([19, 3, 4, 4], 1e-5, true),
        Case::affine([19, 3, 4, 4], false),
        Case::affine([19, 3, 4, 4], true),
        Case::linear([19, 7, 40]),
    ] {
        assert!(case.is_taken());
        let inputs = case.draw(1);
        let all = case.run(Path::Kernels, &inputs);
        for wanted in 1..7usize {
            let is_wanted = |input: usize| wanted >> input & 1 == 1;
            let some = case.run_wanting(Path::Kernels, &inputs, is_wanted);
            assert_eq!(bits(&some.outputs), bits(&all.outputs));
            for (input, (some, all)) in some.gradients.iter().zip(&all.gradients).enumerate() {
                assert_eq!(some.is_some(), is_wanted(input), "{case:?}");
                if some.is_some() {
                    assert_eq!(some, all, "{case:?}, input {input} of {wanted:b}");
                }
            }
        }
    }
}
