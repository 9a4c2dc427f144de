//! k-means: what holds for every result, and that it is as good as what is known.

use burn::tensor::Device;
use proptest::prelude::*;
use protovae_backbones::systems::{Clusters, k_means};
use protovae_core::random::{Purpose, stream};

fn find(points: &[f32], width: usize, clusters: usize, restarts: usize, seed: u64) -> Clusters {
    let mut generator = stream(seed, 0, 0, Purpose::Plugin);
    k_means(
        points,
        width,
        clusters,
        restarts,
        &mut generator,
        &Device::flex(),
    )
    .unwrap()
}

fn squared(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn centres_are_means_and_points_are_with_the_nearest(
        width in 1usize..5,
        count in 1usize..40,
        clusters in 1usize..6,
        seed in 0u64..1000,
    ) {
        let points = super::support::noise(count * width, seed);
        let found = find(&points, width, clusters, 2, seed);
        prop_assert_eq!(found.assignment.len(), count);
        prop_assert_eq!(found.centres.len(), clusters * width);
        let centre = |index: usize| &found.centres[index * width..(index + 1) * width];
        let point = |index: usize| &points[index * width..(index + 1) * width];
        let mut inertia = 0.0;
        for (index, own) in found.assignment.iter().enumerate() {
            let distance = squared(point(index), centre(*own));
            inertia += distance;
            for other in 0..clusters {
                prop_assert!(distance <= squared(point(index), centre(other)) + 1e-5);
            }
        }
        prop_assert!((inertia - found.inertia).abs() < 1e-4 * inertia.max(1.0));
        for cluster in 0..clusters {
            let members: Vec<usize> = (0..count)
                .filter(|index| found.assignment[*index] == cluster)
                .collect();
            if !members.is_empty() {
                for axis in 0..width {
                    let sum: f64 = members.iter().map(|index| f64::from(point(*index)[axis])).sum();
                    let mean = sum / members.len() as f64;
                    prop_assert!((mean - f64::from(centre(cluster)[axis])).abs() < 1e-5);
                }
            }
            let nearest = squared(point(found.nearest[cluster]), centre(cluster));
            for index in 0..count {
                prop_assert!(nearest <= squared(point(index), centre(cluster)) + 1e-5);
            }
        }
        // As many clusters as there are points, and more, leave nothing over.
        if clusters >= count {
            prop_assert!(found.inertia < 1e-9, "{}", found.inertia);
        }
    }

    #[test]
    fn one_cluster_is_the_mean_and_more_are_never_worse(seed in 0u64..500, count in 2usize..30) {
        let points = super::support::noise(count * 2, seed);
        let one = find(&points, 2, 1, 1, seed);
        let mean: Vec<f64> = (0..2)
            .map(|axis| points.iter().skip(axis).step_by(2).map(|v| f64::from(*v)).sum::<f64>() / count as f64)
            .collect();
        for (axis, mean) in mean.iter().enumerate() {
            prop_assert!((f64::from(one.centres[axis]) - mean).abs() < 1e-5);
        }
        let two = find(&points, 2, 2, 1, seed);
        prop_assert!(two.inertia <= one.inertia + 1e-6);
        // More beginnings, of which the first is the same.
        let best = find(&points, 2, 2, 4, seed);
        prop_assert!(best.inertia <= two.inertia + 1e-9);
        prop_assert_eq!(&best, &find(&points, 2, 2, 4, seed));
    }
}

#[test]
fn separated_groups_are_found() {
    let mut points = Vec::new();
    for (index, jitter) in super::support::noise(60, 3).chunks(2).enumerate() {
        let centre = [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]][index % 3];
        points.extend([centre[0] + 0.1 * jitter[0], centre[1] + 0.1 * jitter[1]]);
    }
    let found = find(&points, 2, 3, 4, 1);
    for index in 3..30 {
        assert_eq!(found.assignment[index], found.assignment[index % 3]);
    }
    assert!(found.inertia < 30.0 * 0.02);
}

#[test]
fn equal_points_and_wrong_requests_are_no_trouble() {
    let found = find(&[1.5; 12], 2, 3, 2, 0);
    assert_eq!(found.inertia, 0.0);
    assert_eq!(found.centres, [1.5; 6]);
    let device = Device::flex();
    let mut generator = stream(0, 0, 0, Purpose::Plugin);
    for (points, width, clusters, restarts) in [
        (vec![], 1, 1, 1),
        (vec![1.0; 3], 2, 1, 1),
        (vec![1.0; 2], 0, 1, 1),
        (vec![1.0; 2], 1, 0, 1),
        (vec![1.0; 2], 1, 1, 0),
        (vec![1.0, f32::NAN], 1, 1, 1),
    ] {
        k_means(&points, width, clusters, restarts, &mut generator, &device).unwrap_err();
    }
}
