//! Figures and contact sheets of sets.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use protovae_data::{
    DataConfig, DataError, DataSearch, Dataset, ImageShape, InMemoryDataset, MAX_SHEET_SIDE,
    Mnist5kConfig, contact_sheet, save_png, statistics,
};

/// The figures come from NumPy: `images = asset[16:].reshape(5000, 784)[:4000] / 255`, its `mean()` and `std()`.
#[test]
fn figures_of_the_embedded_set() {
    let splits = Mnist5kConfig::default()
        .load(&DataSearch::default())
        .unwrap();
    let figures = statistics(&*splits.train, 10).unwrap();
    assert_eq!(figures.images, 4000);
    assert_eq!(figures.per_class, [400; 10]);
    assert!(
        (figures.mean[0] - 0.130_859_888_955_582_23).abs() < 1e-8,
        "{figures:?}"
    );
    assert!(
        (figures.deviation[0] - 0.308_015_564_835_356_25).abs() < 1e-8,
        "{figures:?}"
    );
    assert_eq!((figures.minimum[0], figures.maximum[0]), (0.0, 1.0));
    let json = serde_json::to_value(&figures).unwrap();
    assert_eq!(json["per_class"][9], 400);
    assert_eq!(json["shape"]["width"], 28);
}

/// Only where `PROTOVAE_TEST_DATA` names a folder with the published files. The figures come from NumPy, by histograms of
/// the bytes: `(h * v).sum() / h.sum()` and `sqrt((h * v * v).sum() / h.sum() - mean ** 2)` with `v = arange(256) / 255`.
#[test]
fn figures_of_the_published_sets() {
    let Some(folder) = std::env::var_os("PROTOVAE_TEST_DATA") else {
        return;
    };
    let search = DataSearch::in_folder(std::path::PathBuf::from(folder));
    type Figures = (&'static str, &'static [f64], &'static [f64], [usize; 10]);
    let cases: [Figures; 3] = [
        (
            "mnist",
            &[0.130_660_476_273_842_9],
            &[0.308_107_803_856_462_64],
            [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        ),
        (
            "fashion-mnist",
            &[0.286_040_596_987_895_47],
            &[0.353_024_244_514_922_54],
            [6000; 10],
        ),
        (
            "cifar-10",
            &[
                0.491_399_678_615_196_1,
                0.482_158_408_394_607_83,
                0.446_530_914_445_465_67,
            ],
            &[
                0.247_032_232_463_281_96,
                0.243_485_128_000_055_7,
                0.261_587_841_727_964_7,
            ],
            [5000; 10],
        ),
    ];
    for (kind, mean, deviation, per_class) in cases {
        let json = format!(r#"{{"type": "{kind}"}}"#);
        let config: Box<dyn DataConfig> = serde_json::from_str(&json).unwrap();
        let splits = config.load(&search).unwrap();
        let figures = statistics(&*splits.train, 10).unwrap();
        assert_eq!(figures.per_class, per_class, "{kind}");
        for (found, known) in [(&figures.mean, mean), (&figures.deviation, deviation)] {
            assert_eq!(found.len(), known.len());
            for (found, known) in found.iter().zip(known) {
                assert!((found - known).abs() < 1e-8, "{kind}: {found} {known}");
            }
        }
    }
}

fn set(shape: ImageShape, pixels: Vec<u8>, labels: Vec<u16>) -> InMemoryDataset {
    InMemoryDataset::new(shape, pixels, labels).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// More than two rounds of all threads, so that joining is exercised.
    #[test]
    fn figures_equal_those_of_the_definition(count in 1usize..6000, colour: bool, key: u8) {
        let shape = ImageShape::new(if colour { 3 } else { 1 }, 1, 2);
        let pixels: Vec<u8> = (0..count * shape.pixels())
            .map(|index| (index as u64).wrapping_mul(2_654_435_761 + u64::from(key)).rotate_right(9) as u8)
            .collect();
        let labels: Vec<u16> = (0..count).map(|index| (index % 7) as u16).collect();
        let figures = statistics(&set(shape, pixels.clone(), labels), 9).unwrap();
        for class in 0..9 {
            let expected = if class < 7 { (count + 6 - class) / 7 } else { 0 };
            prop_assert_eq!(figures.per_class[class], expected);
        }
        for channel in 0..shape.channels {
            let values: Vec<f64> = pixels
                .chunks_exact(shape.pixels())
                .flat_map(|image| image[2 * channel..2 * channel + 2].iter())
                .map(|&byte| f64::from(byte) / 255.0)
                .collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
            prop_assert!((figures.mean[channel] - mean).abs() < 1e-7);
            prop_assert!((figures.deviation[channel] - variance.sqrt()).abs() < 1e-6);
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let greatest = values.iter().copied().fold(0.0, f64::max);
            prop_assert!((figures.minimum[channel] - least).abs() < 1e-7);
            prop_assert!((figures.maximum[channel] - greatest).abs() < 1e-7);
        }
    }

    #[test]
    fn sheets_are_bounded(
        height in 1usize..700, width in 1usize..700, classes in 1usize..90, columns in 1usize..3000,
    ) {
        let shape = ImageShape::new(1, height, width);
        let labels: Vec<u16> = (0..3).map(|index| index % classes as u16).collect();
        let sheet = contact_sheet(&set(shape, vec![9; 3 * shape.pixels()], labels), classes, columns).unwrap();
        prop_assert!(sheet.width() <= MAX_SHEET_SIDE && sheet.height() <= MAX_SHEET_SIDE);
        let fit = |side: usize, wanted: usize| 2 + wanted.min(1998 / (side + 2)) * (side + 2);
        prop_assert_eq!(sheet.width() as usize, fit(width, columns));
        prop_assert_eq!(sheet.height() as usize, fit(height, classes));
    }
}

/// A set that claims what it cannot hold, and fails where it is read.
#[derive(Debug)]
struct Odd {
    shape: ImageShape,
    label: usize,
    panics: bool,
}

impl Dataset for Odd {
    fn len(&self) -> usize {
        1
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn label(&self, _: usize) -> Result<usize, DataError> {
        Ok(self.label)
    }

    fn image(&self, _: usize, _: &mut [f32]) -> Result<(), DataError> {
        assert!(!self.panics, "as ordered");
        Ok(())
    }
}

#[test]
fn odd_sets_give_errors() {
    let small = ImageShape::new(1, 1, 1);
    let empty = set(small, Vec::new(), Vec::new());
    assert!(matches!(
        statistics(&empty, 3),
        Err(DataError::Setting { key: "data", .. })
    ));
    assert!(matches!(
        contact_sheet(&empty, 3, 3),
        Err(DataError::Setting { key: "data", .. })
    ));
    let one = set(small, vec![1], vec![2]);
    for classes in [0, usize::MAX] {
        assert!(matches!(
            statistics(&one, classes),
            Err(DataError::Setting { key: "classes", .. })
        ));
    }
    for error in [
        statistics(&one, 2).unwrap_err(),
        contact_sheet(&one, 2, 1).unwrap_err(),
    ] {
        assert!(
            matches!(error, DataError::LabelOutOfRange { label: 2, .. }),
            "{error}"
        );
    }
    assert!(contact_sheet(&one, 3, 0).is_err());
    assert!(contact_sheet(&one, usize::MAX, usize::MAX).is_ok());

    let two = set(ImageShape::new(2, 1, 1), vec![1, 2], vec![0]);
    assert!(matches!(
        contact_sheet(&two, 1, 1),
        Err(DataError::Unsupported { .. })
    ));
    assert_eq!(statistics(&two, 1).unwrap().mean.len(), 2);

    let huge = Odd {
        shape: ImageShape::new(1, 1 << 40, 1 << 40),
        label: 0,
        panics: false,
    };
    assert!(statistics(&huge, 1).is_err());
    assert!(contact_sheet(&huge, 1, 1).is_err());
    let panicking = Odd {
        shape: small,
        label: 0,
        panics: true,
    };
    assert!(matches!(
        statistics(&panicking, 1),
        Err(DataError::Worker { .. })
    ));
}

#[test]
fn a_sheet_shows_the_first_images_of_each_class_in_their_places() {
    // Labels 1 0 1 1: class 0 has one image, class 1 three, of which two are shown.
    let colours: [[u8; 3]; 4] = [[10, 20, 30], [40, 50, 60], [70, 80, 90], [100, 110, 120]];
    let pixels: Vec<u8> = colours
        .iter()
        .flat_map(|[red, green, blue]| [*red, 0, *green, 0, *blue, 255])
        .collect();
    let set = set(ImageShape::new(3, 1, 2), pixels, vec![1, 0, 1, 1]);
    let sheet = contact_sheet(&set, 2, 2).unwrap();
    assert_eq!(sheet.dimensions(), (2 + 2 * 4, 2 + 2 * 3));
    let at = |x: u32, y: u32| sheet.get_pixel(x, y).0;
    assert_eq!((at(2, 2), at(3, 2)), (colours[1], [0, 0, 255]));
    assert_eq!(at(6, 2), [127; 3]);
    assert_eq!((at(2, 5), at(6, 5)), (colours[0], colours[2]));
    assert_eq!((at(0, 0), at(4, 5)), ([127; 3], [127; 3]));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sheet");
    save_png(&sheet, &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(&bytes[1..4], b"PNG");
    assert_eq!(image::load_from_memory(&bytes).unwrap().to_rgb8(), sheet);
    let error = save_png(&sheet, &folder.path().join("none/sheet.png")).unwrap_err();
    assert!(matches!(error, DataError::Write { .. }), "{error}");
    assert!(error.to_string().contains("none"), "{error}");
}

#[test]
fn an_image_beyond_the_sheet_is_thinned() {
    let shape = ImageShape::new(1, 5, 4100);
    let pixels = (0..5 * 4100)
        .map(|index| (index % 4100 / 20) as u8)
        .collect();
    let sheet = contact_sheet(&set(shape, pixels, vec![0]), 1, 4).unwrap();
    assert_eq!(sheet.dimensions(), (2 + 1367 + 2, 2 + 2 + 2));
    for x in 0..1367 {
        assert_eq!(sheet.get_pixel(2 + x, 3).0[0] as u32, 3 * x / 20);
    }
}
