//! What a push promises, recomputed from the provenance that the model tells.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use protovae_backbones as _;
use protovae_core::model::{BoxModel, Region};
use rayon::ThreadPoolBuilder;
use serde_json::json;

use crate::common::{flat, values};
use crate::support::{SPEC, batches, images, model, pushed, recipe, tensor};

const M: usize = 2;

/// Similarity of each patch of an image to each prototype, `[K·M]` maps of 16 values.
fn maps(model: &BoxModel, images: Tensor<4>) -> Vec<Vec<f32>> {
    let maps = flat(&model.similarity_maps(images).unwrap());
    maps.chunks_exact(16).map(<[f32]>::to_vec).collect()
}

#[test]
fn each_prototype_is_a_patch_of_a_training_image_of_its_class() {
    let all = images(30);
    let before = model(&recipe());
    let after = pushed(&before, &batches(&all, 7)).valid();
    let provenance = after.provenance().unwrap();
    assert_eq!(provenance.len(), SPEC.classes * M);
    assert!(before.provenance().unwrap().iter().all(Option::is_none));
    let exact = (1.0f32 / 1e-4).ln();
    for (row, place) in provenance.iter().enumerate() {
        let place = place.unwrap();
        let sample = place.sample as usize;
        assert_eq!(all.labels[sample], row / M);
        let [y, x] = place.patch.unwrap();
        let image = tensor(&all).narrow(0, sample, 1);
        let map = &maps(&after, image)[row];
        // At distance 0 the similarity is log(1/eps); at a squared distance of 1e-10 it is 1e-6 less.
        assert!((map[y * 4 + x] - exact).abs() < 1e-4, "{row}: {map:?}");
        assert_eq!(place.region, Region::of_largest(map, [4, 4], [8, 8]));
    }
}

#[test]
fn no_patch_of_the_class_was_nearer_to_where_the_prototype_was() {
    let all = images(30);
    let before = model(&recipe());
    let after = pushed(&before, &batches(&all, 7));
    let seen = maps(&before.valid(), tensor(&all));
    for (row, place) in after.provenance().unwrap().into_iter().enumerate() {
        let place = place.unwrap();
        let [y, x] = place.patch.unwrap();
        let of = |sample: usize| &seen[sample * SPEC.classes * M + row];
        let chosen = of(place.sample as usize)[y * 4 + x];
        let own = (0..30).filter(|sample| all.labels[*sample] == row / M);
        let best = own.flat_map(of).copied().fold(f32::MIN, f32::max);
        assert!((chosen - best).abs() < 1e-5, "{row}: {chosen} {best}");
    }
}

#[test]
fn batches_and_threads_change_nothing() {
    let all = images(45);
    let before = model(&recipe());
    let with = |size: usize, threads: usize| {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| pushed(&before, &batches(&all, size)))
    };
    let one = with(45, 1);
    for (size, threads) in [(45, 2), (45, 3), (16, 1), (1, 2)] {
        let other = with(size, threads);
        assert_eq!(other.provenance(), one.provenance(), "{size}");
        let (found, expected) = (values(&other), values(&one));
        if size == 45 {
            assert_eq!(found, expected, "{threads} threads");
        }
        for (a, b) in found["prototypes"].iter().zip(&expected["prototypes"]) {
            assert!((a - b).abs() < 1e-6);
        }
    }
}

#[test]
fn of_equal_patches_the_first_image_is_taken() {
    let mut all = images(6);
    let pixels = SPEC.image.values();
    // Images 3 to 5 are 0 to 2 again.
    let (first, second) = all.images.split_at_mut(3 * pixels);
    second.copy_from_slice(first);
    let before = model(&recipe());
    for (indices, smaller) in [([0, 1, 2, 3, 4, 5], 0..3), ([3, 4, 5, 0, 1, 2], 0..3)] {
        all.indices = indices.to_vec();
        for size in [6, 2] {
            let after = pushed(&before, &batches(&all, size));
            for place in after.provenance().unwrap() {
                assert!(smaller.contains(&place.unwrap().sample));
            }
        }
    }
}

#[test]
fn a_class_without_images_keeps_its_prototypes() {
    let mut all = images(3);
    all.labels = vec![0, 1, 1];
    let before = model(&recipe());
    let after = pushed(&before, &batches(&all, 3));
    let known: Vec<bool> = after
        .provenance()
        .unwrap()
        .iter()
        .map(Option::is_some)
        .collect();
    assert_eq!(known, [true, true, true, true, false, false]);
    let (found, expected) = (values(&after), values(&before));
    let last = 2 * M * 5..;
    assert_eq!(
        found["prototypes"][last.clone()],
        expected["prototypes"][last]
    );
}

#[test]
fn pushes_come_when_the_recipe_says() {
    let mut recipe = recipe();
    recipe["push_start"] = json!(2);
    recipe["push_every"] = json!(3);
    recipe["last_layer_iterations"] = json!(0);
    let model = model(&recipe);
    let source = batches(&images(6), 6);
    let device = Device::flex();
    let pushes: Vec<usize> = (0..10)
        .filter(|epoch| {
            let done = protovae_core::model::EpochDone {
                epoch: *epoch,
                epochs: 10,
                seed: 0,
                images: &source,
                max_batches: None,
                device: &device,
            };
            model.after_epoch(&done).unwrap().is_some()
        })
        .collect();
    assert_eq!(pushes, [2, 5, 8, 9]);
}
