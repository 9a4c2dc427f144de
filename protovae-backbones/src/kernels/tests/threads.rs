//! Sums are cut in the same places whatever the number of threads: results are the same bit for bit.

use rayon::ThreadPoolBuilder;

use super::cases::{Case, Path};
use super::values::bits;

/// Some too small to be cut, some cut into many tasks.
fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::convolution(37, [5, 7], [9, 9], [3, 1, 1]),
        Case::convolution(70, [24, 20], [12, 12], [3, 1, 1]),
        Case::convolution(33, [3, 16], [32, 32], [4, 2, 1]),
        Case::convolution(5, [32, 1], [28, 28], [3, 1, 1]),
        Case::convolution(20, [130, 70], [2, 2], [3, 1, 1]),
        Case::transposed(37, [5, 6], [9, 9], [4, 2, 1]),
        Case::transposed(70, [24, 12], [7, 7], [4, 2, 1]),
        Case::transposed(3, [96, 96], [2, 2], [4, 2, 1]),
        Case::convolution(70, [24, 20], [12, 12], [3, 1, 1]).then_affine(),
        Case::transposed(70, [24, 12], [7, 7], [4, 2, 1]).then_affine(),
        Case::batch_norm([130, 300, 1, 1], 1e-5, false),
        Case::linear([3, 2, 4]),
        Case::linear([140, 300, 600]),
        Case::linear([6, 1000, 40]),
        Case::linear([129, 70, 17]),
        Case::tanh([2, 3, 4, 5]),
        Case::tanh([70, 3, 16, 16]),
        Case::relu([70, 768]),
        Case::unflatten(70, [24, 7, 7]),
    ];
    for pool in [false, true] {
        for shape in [[37, 5, 9, 9], [70, 24, 16, 16], [3, 16, 32, 32]] {
            cases.push(Case::batch_norm(shape, 1e-5, pool));
            cases.push(Case::affine(shape, pool));
        }
    }
    cases
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let pools = [1, 2, 4].map(|threads| {
        ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    });
    for case in cases() {
        assert!(case.is_taken(), "{case:?}");
        let inputs = case.draw(2);
        let [one, two, four] = pools.each_ref().map(|pool| {
            pool.install(|| {
                let plain = case.run_without_autodiff(Path::Kernels, &inputs);
                let mut all = case.run(Path::Kernels, &inputs).all();
                all.extend(plain);
                bits(&all)
            })
        });
        assert!(one == two, "{case:?} with two threads");
        assert!(one == four, "{case:?} with four threads");
    }
}

/// Which thread gets which task changes from run to run; results do not.
#[test]
fn results_repeat() {
    let pool = ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    for case in cases() {
        let inputs = case.draw(3);
        let run = || pool.install(|| bits(&case.run(Path::Kernels, &inputs).all()));
        let first = run();
        for _ in 0..2 {
            assert!(run() == first, "{case:?}");
        }
    }
}
