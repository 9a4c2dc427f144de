//! The real sets against figures that NumPy and SciPy computed (`independent_figures.py`).
//!
//! Only where `PROTOVAE_TEST_DATA` names a folder with their files; SVHN and QuickDraw only in the parts of them that this
//! project is tested with, which their names tell.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;

use protovae_data::{DataConfig, DataError, DataSearch, Dataset};

struct Split {
    of_each_label: [usize; 10],
    first_labels: [usize; 20],
    /// Mean and deviation of pixels / 255 for each channel.
    moments: &'static [(f64, f64)],
}

struct Expected {
    kind: &'static str,
    name: &'static str,
    train: Split,
    test: Split,
    digest: &'static str,
}

const QUICKDRAW_FIRST: [usize; 20] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

const SETS: [Expected; 5] = [
    Expected {
        kind: "mnist",
        name: "mnist",
        train: Split {
            of_each_label: [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
            first_labels: [5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7, 2, 8, 6, 9],
            moments: &[(0.130_660, 0.308_108)],
        },
        test: Split {
            of_each_label: [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
            first_labels: [7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6, 9, 0, 1, 5, 9, 7, 3, 4],
            moments: &[(0.132_515, 0.310_480)],
        },
        digest: "0a9d06e61796e650d785c495f16aaf3803371feff821442abeceab4dacfd59f5",
    },
    Expected {
        kind: "fashion-mnist",
        name: "fashion-mnist",
        train: Split {
            of_each_label: [6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000],
            first_labels: [9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9, 1, 0, 6, 4],
            moments: &[(0.286_041, 0.353_024)],
        },
        test: Split {
            of_each_label: [1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000],
            first_labels: [9, 2, 1, 1, 6, 1, 4, 6, 5, 7, 4, 5, 7, 3, 4, 1, 2, 4, 8, 0],
            moments: &[(0.286_849, 0.352_444)],
        },
        digest: "0a56558620e29cb457c3e43aba03081f58d0251e980cb6356e226928615e7871",
    },
    Expected {
        kind: "cifar-10",
        name: "cifar-10",
        train: Split {
            of_each_label: [5000, 5000, 5000, 5000, 5000, 5000, 5000, 5000, 5000, 5000],
            first_labels: [6, 9, 9, 4, 1, 1, 2, 7, 8, 3, 4, 7, 7, 2, 9, 9, 9, 3, 2, 6],
            moments: &[
                (0.491_400, 0.247_032),
                (0.482_158, 0.243_485),
                (0.446_531, 0.261_588),
            ],
        },
        test: Split {
            of_each_label: [1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000],
            first_labels: [3, 8, 8, 0, 6, 6, 1, 6, 3, 1, 0, 9, 5, 7, 9, 8, 5, 7, 8, 6],
            moments: &[
                (0.494_214, 0.246_653),
                (0.485_131, 0.242_892),
                (0.450_409, 0.261_592),
            ],
        },
        digest: "4124574f5dd5b7e92957cdc264b7286638e718720f51c3b7d47dfc43931b6aff",
    },
    Expected {
        kind: "svhn",
        name: "svhn-10k",
        train: Split {
            of_each_label: [543, 1536, 1278, 889, 795, 732, 616, 605, 503, 503],
            first_labels: [5, 2, 1, 0, 6, 1, 9, 1, 1, 8, 3, 6, 5, 1, 4, 4, 1, 6, 3, 4],
            moments: &[
                (0.453_739, 0.220_107),
                (0.454_345, 0.226_951),
                (0.471_355, 0.228_714),
            ],
        },
        test: Split {
            of_each_label: [141, 432, 312, 215, 169, 177, 157, 162, 118, 117],
            first_labels: [0, 6, 3, 1, 1, 7, 1, 1, 2, 5, 2, 4, 5, 4, 1, 6, 5, 9, 1, 7],
            moments: &[
                (0.453_733, 0.219_567),
                (0.451_581, 0.225_624),
                (0.465_717, 0.228_178),
            ],
        },
        digest: "81b3ae7ea3c720f957520137d6d2f0e1cac7b75ea4c2b711c6c183f68d3a251d",
    },
    Expected {
        kind: "quickdraw",
        name: "quickdraw-10x4k",
        train: Split {
            of_each_label: [3200, 3200, 3200, 3200, 3200, 3200, 3200, 3200, 3200, 3200],
            first_labels: QUICKDRAW_FIRST,
            moments: &[(0.172_632, 0.329_411)],
        },
        test: Split {
            of_each_label: [800, 800, 800, 800, 800, 800, 800, 800, 800, 800],
            first_labels: QUICKDRAW_FIRST,
            moments: &[(0.173_057, 0.329_749)],
        },
        digest: "32d11b5f2aa82e52a69461effc17935e78712ebe37d4ff309459f6598a3c308d",
    },
];

fn check(name: &str, set: &dyn Dataset, expected: &Split) {
    let labels: Vec<usize> = (0..set.len())
        .map(|index| set.label(index).unwrap())
        .collect();
    let mut of_each_label = [0; 10];
    for &label in &labels {
        of_each_label[label] += 1;
    }
    assert_eq!(of_each_label, expected.of_each_label, "{name}");
    assert_eq!(labels[..20], expected.first_labels, "{name}");
    assert_eq!(set.shape().channels, expected.moments.len());
    let plane = set.shape().height * set.shape().width;
    let mut image = vec![0.0; set.shape().pixels()];
    let mut sums = vec![(0.0, 0.0); expected.moments.len()];
    for index in 0..set.len() {
        set.image(index, &mut image).unwrap();
        for ((sum, squares), values) in sums.iter_mut().zip(image.chunks(plane)) {
            for &value in values {
                let value = (f64::from(value) + 1.0) / 2.0;
                *sum += value;
                *squares += value * value;
            }
        }
    }
    let count = (set.len() * plane) as f64;
    for ((sum, squares), &(mean, deviation)) in sums.into_iter().zip(expected.moments) {
        let found = sum / count;
        assert!(
            (found - mean).abs() < 1e-5,
            "{name}: mean {found}, not {mean}"
        );
        let found = (squares / count - found * found).sqrt();
        assert!(
            (found - deviation).abs() < 1e-5,
            "{name}: deviation {found}, not {deviation}"
        );
    }
}

#[test]
fn the_sets_are_what_numpy_reads() {
    let Some(folder) = std::env::var_os("PROTOVAE_TEST_DATA") else {
        return;
    };
    let search = DataSearch::in_folder(PathBuf::from(folder));
    let mut compared = Vec::new();
    for expected in &SETS {
        let config: Box<dyn DataConfig> =
            serde_json::from_str(&format!(r#"{{"type": "{}"}}"#, expected.kind)).unwrap();
        let splits = match config.load(&search) {
            Err(DataError::NotFound { .. }) => continue,
            other => other.unwrap(),
        };
        if splits.name != expected.name {
            // Another part of the set, or all of it, of which these figures say nothing.
            assert!(splits.name.starts_with(expected.kind));
            continue;
        }
        check(expected.name, &*splits.train, &expected.train);
        check(expected.name, &*splits.test, &expected.test);
        assert_eq!(splits.digest, expected.digest, "{}", expected.name);
        assert_eq!(splits.notes.is_empty(), expected.name == expected.kind);
        compared.push(expected.name);
    }
    assert!(
        !compared.is_empty(),
        "there is none of the sets in PROTOVAE_TEST_DATA"
    );
}
