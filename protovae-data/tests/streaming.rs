//! A set on disk keeps no pixels in memory. The only test of its program, since it counts all memory in use.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use image::{Rgb, RgbImage};
use protovae_data::{
    CelebaConfig, DataConfig, DataSearch, Dataset, ImageShape, Loader, LoaderConfig, PictureDataset,
};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes kept after and taken during a piece of work, beyond those before.
fn memory<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = work();
    let kept = NOW.load(Relaxed).saturating_sub(before);
    (result, kept, PEAK.load(Relaxed) - before)
}

/// Writes `count` faces of 178×218, all but the first of them hard links to save time.
fn write_celeba(folder: &std::path::Path, count: usize) {
    let images = folder.join("img_align_celeba");
    std::fs::create_dir(&images).unwrap();
    let first = images.join("000001.jpg");
    RgbImage::from_fn(178, 218, |x, y| Rgb([x as u8, y as u8, 99]))
        .save(&first)
        .unwrap();
    let mut list = format!("{count}\nMale Young\n000001.jpg 1 -1\n");
    for number in 2..=count {
        let name = format!("{number:06}.jpg");
        std::fs::hard_link(&first, images.join(&name)).unwrap();
        list += &format!("{name} {} 1\n", if number % 3 == 0 { 1 } else { -1 });
    }
    std::fs::write(folder.join("list_attr_celeba.txt"), list).unwrap();
}

#[test]
fn streaming_keeps_the_list_alone() {
    let images = 1000;
    let folder = tempfile::tempdir().unwrap();
    write_celeba(folder.path(), images);
    let config = CelebaConfig {
        path: Some(folder.path().to_path_buf()),
        ..CelebaConfig::default()
    };
    let (splits, kept, peak) = memory(|| config.load(&DataSearch::default()).unwrap());
    assert_eq!(splits.train.len() + splits.test.len(), images);
    assert_eq!(splits.shape, ImageShape::new(3, 224, 224));
    // Decoded they take 150,528 bytes each. A name has 10 bytes, its place and label 6.
    assert!(kept < 4096 + 20 * images, "{kept} bytes kept");
    assert!(peak < 65_536 + 200 * images, "{peak} bytes taken");

    let settings = LoaderConfig {
        batch_size: 4,
        threads: 2,
        prefetch: 1,
        ..LoaderConfig::default()
    };
    let loader = Loader::new(splits.test.clone(), settings).unwrap();
    let ((), kept, peak) = memory(|| {
        for batch in loader.epoch(0, 0) {
            assert_eq!(batch.unwrap().images.len() % (3 * 224 * 224), 0);
        }
    });
    // Some batches of 2.4 MB in values of four bytes, and two pictures being decoded and resized.
    assert!(peak < 40_000_000, "{peak} bytes taken by an epoch");
    assert!(kept < 65_536, "{kept} bytes kept after an epoch");

    // The list of a whole CelebA.
    let all = 202_599;
    let names: Vec<String> = (1..=all).map(|number| format!("{number:06}.jpg")).collect();
    let files = names.iter().map(|name| (name.as_str(), 1));
    let shape = ImageShape::new(3, 224, 224);
    let (set, kept, _) = memory(|| PictureDataset::in_folder("nowhere", files, shape).unwrap());
    assert_eq!(set.len(), all);
    assert!(kept < 4_000_000, "{kept} bytes kept for the whole list");
}
