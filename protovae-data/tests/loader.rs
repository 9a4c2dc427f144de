//! The loader: every image once, the same batches for any number of threads, and errors that reach the consumer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use protovae_data::{
    AugmentationConfig, ColorJitterConfig, DataError, Dataset, HostBatch, ImageShape,
    InMemoryDataset, Loader, LoaderConfig, Order, permutation,
};

/// Image i is the two bytes of i; its label is i mod 7.
fn numbered(len: usize) -> Arc<dyn Dataset> {
    let pixels = (0..len).flat_map(|index| (index as u16).to_le_bytes());
    let labels = (0..len).map(|index| (index % 7) as u16);
    let shape = ImageShape::new(1, 1, 2);
    Arc::new(InMemoryDataset::new(shape, pixels.collect(), labels.collect()).unwrap())
}

fn loader(
    set: Arc<dyn Dataset>,
    batch_size: usize,
    threads: usize,
    prefetch: usize,
    order: Order,
) -> Loader {
    let config = LoaderConfig {
        batch_size,
        threads,
        prefetch,
        order,
    };
    Loader::new(set, config).unwrap()
}

fn collect(loader: &Loader, epoch: u64, first: usize) -> Vec<HostBatch> {
    loader.epoch(epoch, first).map(Result::unwrap).collect()
}

fn byte(value: f32) -> u16 {
    ((value + 1.0) * 127.5).round() as u16
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_image_once_and_right(
        len in 1usize..300, batch_size in 1usize..70, threads in 0usize..5, prefetch in 1usize..4,
        seed in prop::option::of(any::<u64>()), epoch: u64,
    ) {
        let order = seed.map_or(Order::Sequential, |seed| Order::Shuffled { seed });
        let loader = loader(numbered(len), batch_size, threads, prefetch, order);
        let batches = collect(&loader, epoch, 0);
        prop_assert_eq!(batches.len(), loader.batches());
        let mut seen = vec![0; len];
        for (number, batch) in batches.iter().enumerate() {
            let last = number + 1 == batches.len();
            prop_assert!(batch.len() == batch_size || last && !batch.is_empty());
            prop_assert_eq!(batch.images.len(), batch.len() * 2);
            for (position, &index) in batch.indices.iter().enumerate() {
                seen[index as usize] += 1;
                prop_assert_eq!(batch.labels[position], index as usize % 7);
                let value = byte(batch.images[2 * position]) + 256 * byte(batch.images[2 * position + 1]);
                prop_assert_eq!(u64::from(value), index);
            }
        }
        prop_assert!(seen.iter().all(|&count| count == 1));
    }

    #[test]
    fn threads_and_resuming_change_nothing(
        len in 1usize..200, batch_size in 1usize..40, seed: u64, epoch in 0u64..5, first in 0usize..20,
    ) {
        let order = Order::Shuffled { seed };
        let whole = collect(&loader(numbered(len), batch_size, 0, 1, order), epoch, 0);
        for threads in [0, 1, 4] {
            let other = loader(numbered(len), batch_size, threads, 2, order);
            prop_assert_eq!(&collect(&other, epoch, 0), &whole);
            let tail = whole.get(first..).unwrap_or_default();
            prop_assert_eq!(&collect(&other, epoch, first), tail);
        }
    }

    #[test]
    fn permutations_are_permutations(seed: u64, epoch: u64, n in 0usize..500) {
        let mut order = permutation(seed, epoch, n);
        order.sort_unstable();
        prop_assert!(order.into_iter().eq(0..n));
    }
}

/// Computed by an independent ChaCha8 and Fisher-Yates in Python.
#[test]
fn golden_permutations() {
    assert_eq!(permutation(7, 0, 10), [1, 9, 6, 2, 3, 4, 5, 7, 8, 0]);
    assert_eq!(permutation(7, 1, 10), [0, 4, 8, 2, 7, 1, 9, 5, 3, 6]);
    assert_eq!(
        permutation(u64::MAX, 3, 40),
        [
            3, 34, 22, 23, 39, 14, 2, 26, 11, 21, 0, 30, 25, 10, 33, 12, 16, 36, 7, 4, 28, 6, 32,
            29, 15, 38, 5, 8, 37, 9, 35, 20, 18, 13, 1, 27, 24, 31, 19, 17
        ]
    );
    let sum: usize = permutation(7, 0, 1000)
        .iter()
        .enumerate()
        .map(|(position, index)| position * index)
        .sum();
    assert_eq!(sum, 249_380_404);
}

/// Images of 3×5×4 bytes that follow no pattern.
fn colourful(len: usize) -> Arc<dyn Dataset> {
    let shape = ImageShape::new(3, 5, 4);
    let pixels = (0..len * shape.pixels()).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8);
    Arc::new(InMemoryDataset::new(shape, pixels.collect(), vec![0; len]).unwrap())
}

fn everything() -> AugmentationConfig {
    AugmentationConfig {
        crop_padding: 2,
        flip: 0.5,
        jitter: Some(ColorJitterConfig {
            brightness: 0.4,
            contrast: 0.4,
            saturation: 0.4,
            hue: 0.1,
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn augmentation_depends_on_seed_epoch_and_index_alone(
        len in 1usize..120, batch_size in 1usize..40, threads in 0usize..5, prefetch in 1usize..4,
        seed: u64, augmentation_seed: u64, epoch: u64, first in 0usize..10,
    ) {
        let set = colourful(len);
        let loader = loader(Arc::clone(&set), batch_size, threads, prefetch, Order::Shuffled { seed })
            .augmented(everything(), augmentation_seed)
            .unwrap();
        let batches = collect(&loader, epoch, first);
        prop_assert_eq!(batches.len(), loader.batches().saturating_sub(first));
        let mut expected = vec![0.0; set.shape().pixels()];
        for batch in batches {
            for (image, &index) in batch.images.chunks(expected.len()).zip(&batch.indices) {
                set.image(index as usize, &mut expected).unwrap();
                let draw = everything().draw(augmentation_seed, epoch, index);
                draw.apply(&mut expected, set.shape()).unwrap();
                prop_assert_eq!(image, &expected[..]);
            }
        }
    }
}

#[test]
fn every_epoch_looks_different_and_repeats_itself() {
    let loader = |seed| {
        loader(colourful(40), 40, 1, 1, Order::Sequential)
            .augmented(everything(), seed)
            .unwrap()
    };
    let first = collect(&loader(3), 0, 0);
    assert_eq!(collect(&loader(3), 0, 0), first);
    for other in [collect(&loader(3), 1, 0), collect(&loader(4), 0, 0)] {
        let pairs = first[0].images.chunks(60).zip(other[0].images.chunks(60));
        assert_eq!(pairs.filter(|(one, other)| one == other).count(), 0);
    }
}

#[test]
fn augmentation_must_fit_the_images() {
    let plain = loader(colourful(2), 2, 0, 1, Order::Sequential);
    let too_far = AugmentationConfig {
        crop_padding: 4,
        ..everything()
    };
    assert!(plain.clone().augmented(too_far, 0).is_err());
    // The strengths of nothing change nothing, to the bit.
    let nothing = plain
        .clone()
        .augmented(AugmentationConfig::default(), 0)
        .unwrap();
    assert_eq!(collect(&nothing, 0, 0), collect(&plain, 0, 0));
}

#[test]
fn senseless_settings_are_refused() {
    let config = LoaderConfig::default();
    let zero = LoaderConfig {
        batch_size: 0,
        ..config
    };
    assert!(Loader::new(numbered(3), zero).is_err());
    let zero = LoaderConfig {
        prefetch: 0,
        ..config
    };
    assert!(Loader::new(numbered(3), zero).is_err());
    assert!(Loader::new(numbered(0), config).is_err());
}

#[test]
fn configs_in_json() {
    let config = LoaderConfig {
        order: Order::Shuffled { seed: u64::MAX },
        ..LoaderConfig::default()
    };
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(
        text,
        r#"{"batch_size":128,"threads":1,"prefetch":2,"order":{"type":"shuffled","seed":18446744073709551615}}"#
    );
    assert_eq!(serde_json::from_str::<LoaderConfig>(&text).unwrap(), config);
    assert_eq!(
        serde_json::from_str::<LoaderConfig>("{}").unwrap(),
        LoaderConfig::default()
    );
    assert!(serde_json::from_str::<LoaderConfig>(r#"{"batch": 3}"#).is_err());
    assert!(serde_json::from_str::<Order>(r#"{"type":"shuffled","seed":1,"sed":1}"#).is_err());
}

#[test]
fn a_start_beyond_the_end_has_no_batches() {
    let loader = loader(numbered(10), 4, 2, 1, Order::Sequential);
    assert_eq!(loader.epoch(0, 3).count(), 0);
    assert_eq!(loader.epoch(0, usize::MAX).count(), 0);
}

#[derive(Debug)]
struct Faulty {
    bad: usize,
    panics: bool,
    read: AtomicUsize,
}

impl Dataset for Faulty {
    fn len(&self) -> usize {
        10_000
    }

    fn shape(&self) -> ImageShape {
        ImageShape::new(1, 1, 1)
    }

    fn label(&self, _: usize) -> Result<usize, DataError> {
        Ok(0)
    }

    fn image(&self, index: usize, _: &mut [f32]) -> Result<(), DataError> {
        self.read.fetch_add(1, Ordering::SeqCst);
        match index == self.bad {
            true if self.panics => panic!("image {index} is cursed"),
            true => Err(DataError::IndexOutOfRange { index, len: 0 }),
            false => Ok(()),
        }
    }
}

#[test]
fn an_error_comes_in_its_turn_and_ends_the_epoch() {
    for (threads, panics) in [(0, false), (1, false), (3, false), (1, true), (3, true)] {
        let faulty = Faulty {
            bad: 57,
            panics,
            read: AtomicUsize::new(0),
        };
        let loader = loader(Arc::new(faulty), 10, threads, 2, Order::Sequential);
        let mut batches = loader.epoch(0, 0);
        for _ in 0..5 {
            assert!(batches.next().unwrap().is_ok());
        }
        let error = batches.next().unwrap().unwrap_err();
        match error {
            DataError::Worker { ref reason } if panics => {
                assert!(reason.contains("image 57 is cursed"), "{error}");
                assert!(reason.contains("batch 5"), "{error}");
            }
            DataError::IndexOutOfRange { index: 57, .. } if !panics => {}
            other => panic!("{other}"),
        }
        assert!(batches.next().is_none());
    }
}

#[test]
fn dropping_early_stops_the_threads() {
    for taken in [0, 1, 7] {
        let faulty = Arc::new(Faulty {
            bad: usize::MAX,
            panics: false,
            read: AtomicUsize::new(0),
        });
        let loader = loader(faulty.clone(), 1, 4, 1, Order::Sequential);
        let mut batches = loader.epoch(0, 0);
        for _ in 0..taken {
            assert!(batches.next().unwrap().is_ok());
        }
        drop(batches);
        drop(loader);
        // Joined threads hold no reference, and bounded channels kept them from reading far ahead.
        assert_eq!(Arc::strong_count(&faulty), 1);
        assert!(faulty.read.load(Ordering::SeqCst) <= taken + 4 * 3);
    }
}

#[derive(Debug)]
struct Slow;

impl Dataset for Slow {
    fn len(&self) -> usize {
        3
    }

    fn shape(&self) -> ImageShape {
        ImageShape::new(1, 1, 1)
    }

    fn label(&self, _: usize) -> Result<usize, DataError> {
        Ok(0)
    }

    fn image(&self, _: usize, _: &mut [f32]) -> Result<(), DataError> {
        std::thread::sleep(Duration::from_millis(20));
        Ok(())
    }
}

#[test]
fn waiting_is_counted() {
    for threads in [0, 1] {
        let mut batches = loader(Arc::new(Slow), 1, threads, 1, Order::Sequential).epoch(0, 0);
        assert_eq!(batches.waited(), Duration::ZERO);
        assert_eq!(batches.by_ref().count(), 3);
        assert!(batches.waited() >= Duration::from_millis(40));
        assert_eq!((batches.batches(), batches.next_batch()), (3, 3));
    }
}
