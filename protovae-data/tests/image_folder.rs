//! Folders of one's own pictures.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use proptest::prelude::*;
use protovae_data::{
    DataConfig, DataError, DataSearch, DataSplits, Dataset, ImageFolderConfig, ImageShape,
    PictureSize,
};

fn config(root: &Path) -> ImageFolderConfig {
    ImageFolderConfig {
        path: Some(root.to_path_buf()),
        ..ImageFolderConfig::default()
    }
}

fn load(config: &ImageFolderConfig) -> Result<DataSplits, DataError> {
    config.load(&DataSearch::default())
}

fn refusal(root: &Path) -> String {
    load(&config(root)).unwrap_err().to_string()
}

fn labels(set: &dyn Dataset) -> Vec<usize> {
    (0..set.len())
        .map(|index| set.label(index).unwrap())
        .collect()
}

/// The first value of each image, as a byte.
fn firsts(set: &dyn Dataset) -> Vec<u8> {
    let mut image = vec![0.0; set.shape().pixels()];
    (0..set.len())
        .map(|index| {
            set.image(index, &mut image).unwrap();
            ((image[0] + 1.0) * 127.5).round() as u8
        })
        .collect()
}

/// Writes a small grey PNG file of one brightness.
fn write(root: &Path, file: &str, brightness: u8) -> PathBuf {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    GrayImage::from_pixel(2, 3, Luma([brightness]))
        .save_with_format(&path, ImageFormat::Png)
        .unwrap();
    path
}

/// Ten cats and five dogs, told apart by their brightness.
fn write_pets(root: &Path) {
    for number in 0..10 {
        write(root, &format!("cats/{number}.png"), number);
    }
    for number in 0..5 {
        write(root, &format!("dogs/{number}.png"), 100 + number);
    }
}

#[test]
fn the_split_is_drawn_from_names_and_seed() {
    let root = tempfile::tempdir().unwrap();
    write_pets(root.path());
    let splits = load(&config(root.path())).unwrap();
    assert_eq!(splits.name, "image-folder");
    assert_eq!(splits.classes, ["cats", "dogs"]);
    assert_eq!(splits.shape, ImageShape::new(3, 32, 32));
    assert_eq!(splits.folder.as_deref(), Some(root.path()));
    assert_eq!(labels(&*splits.test), [0, 1, 0]);
    assert_eq!(labels(&*splits.train), [0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0]);
    assert_eq!(splits.notes.len(), 1, "{:?}", splits.notes);
    assert!(
        splits.notes[0].contains("the 3 test images") && splits.notes[0].contains("split_seed 0")
    );
    // Python: sorted(names, key=lambda name: hashlib.sha256((0).to_bytes(8, "little") + name.encode()).digest())[:2]
    // for cats/0.png .. cats/9.png, [:1] for the dogs.
    assert_eq!(firsts(&*splits.test), GOLDEN_0);
    let other = ImageFolderConfig {
        split_seed: 7,
        ..config(root.path())
    };
    assert_eq!(firsts(&*load(&other).unwrap().test), GOLDEN_7);
    // Every picture is in one split.
    let mut all = [firsts(&*splits.train), firsts(&*splits.test)].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 100, 101, 102, 103, 104]);
    // Limits keep the classes balanced.
    let some = ImageFolderConfig {
        train_limit: Some(4),
        test_limit: Some(2),
        ..config(root.path())
    };
    let some = load(&some).unwrap();
    assert_eq!(
        (labels(&*some.train), labels(&*some.test)),
        (vec![0, 1, 0, 1], vec![0, 1])
    );
    assert_ne!(some.digest, splits.digest);
    // The same pictures elsewhere, on disk instead of in memory.
    let copy = tempfile::tempdir().unwrap();
    write_pets(copy.path());
    let streamed = ImageFolderConfig {
        memory_limit_mib: 0,
        ..config(copy.path())
    };
    let streamed = load(&streamed).unwrap();
    assert!(format!("{:?}", streamed.train).contains("PictureDataset"));
    assert!(format!("{:?}", splits.train).contains("InMemory"));
    assert_eq!(streamed.digest, splits.digest);
    assert_eq!(firsts(&*streamed.train), firsts(&*splits.train));
}

const GOLDEN_0: [u8; 3] = [5, 101, 8];
const GOLDEN_7: [u8; 3] = [0, 103, 9];

#[test]
fn folders_of_train_and_test() {
    for (test, unused) in [
        ("test", &["val", "extra"][..]),
        ("val", &["validation"]),
        ("validation", &[]),
    ] {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "train/a/1.png", 10);
        write(root.path(), "train/b/1.png", 20);
        write(root.path(), &format!("{test}/a/1.png"), 30);
        write(root.path(), &format!("{test}/b/deep/er/1.png"), 40);
        for folder in unused {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let splits = load(&config(root.path())).unwrap();
        assert_eq!(
            (firsts(&*splits.train), firsts(&*splits.test)),
            (vec![10, 20], vec![30, 40])
        );
        assert_eq!(splits.notes.len(), usize::from(!unused.is_empty()));
        for folder in unused {
            assert!(splits.notes[0].contains(folder), "{:?}", splits.notes);
        }
        write(root.path(), "train/c/1.png", 20);
        let error = refusal(root.path());
        assert!(
            error.contains("class `c`") && error.contains(test),
            "{error}"
        );
        write(root.path(), &format!("{test}/c/1.png"), 20);
        write(root.path(), &format!("{test}/d/1.png"), 20);
        let error = refusal(root.path());
        assert!(error.contains("class `d`"), "{error}");
    }
    // Only pictures to train: the split is drawn from them.
    let root = tempfile::tempdir().unwrap();
    write_pets(&root.path().join("train"));
    let splits = load(&config(root.path())).unwrap();
    assert_eq!(
        (splits.train.len(), firsts(&*splits.test)),
        (12, GOLDEN_0.to_vec())
    );
    // A class of the railway.
    let root = tempfile::tempdir().unwrap();
    for file in ["train/1.png", "train/2.png", "test/1.png", "test/2.png"] {
        write(root.path(), file, 0);
    }
    assert_eq!(
        load(&config(root.path())).unwrap().classes,
        ["test", "train"]
    );
}

#[test]
fn every_format_size_and_colour() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("mixed");
    fs::create_dir(&folder).unwrap();
    let colour = RgbImage::from_pixel(40, 7, Rgb([200, 100, 0]));
    colour.save(folder.join("1.png")).unwrap();
    colour.save(folder.join("2.JPG")).unwrap();
    colour.save(folder.join("3.jpeg")).unwrap();
    colour.save(folder.join("4.webp")).unwrap();
    colour.save(folder.join("5.bmp")).unwrap();
    // The name says otherwise.
    colour
        .save_with_format(folder.join("6.jpg"), ImageFormat::Png)
        .unwrap();
    GrayImage::from_pixel(300, 200, Luma([200]))
        .save(folder.join("7.png"))
        .unwrap();
    RgbaImage::from_pixel(5, 5, Rgba([0, 0, 0, 0]))
        .save(folder.join("8.png"))
        .unwrap();
    write(root.path(), "other/ünïcode 名.png", 7);
    write(root.path(), "other/2.png", 8);
    let colour = ImageFolderConfig {
        size: PictureSize::RowsColumns([4, 6]),
        test_share: 0.01,
        ..config(root.path())
    };
    let splits = load(&colour).unwrap();
    assert_eq!(splits.shape, ImageShape::new(3, 4, 6));
    let mut found = [firsts(&*splits.train), firsts(&*splits.test)].concat();
    found.sort_unstable();
    assert_eq!(found[..2], [7, 8]);
    assert!(
        found[2..9].iter().all(|&red| (197..=203).contains(&red)),
        "{found:?}"
    );
    assert_eq!(found[9], 255);
    let grey = ImageFolderConfig {
        channels: 1,
        size: PictureSize::Square(5),
        ..colour
    };
    let splits = load(&grey).unwrap();
    assert_eq!(splits.shape, ImageShape::new(1, 5, 5));
    let mut found = [firsts(&*splits.train), firsts(&*splits.test)].concat();
    found.sort_unstable();
    // Transparent is black, orange is luma 0.2126 · 200 + 0.7152 · 100.
    assert_eq!((&found[..3], found[9]), (&[0, 7, 8][..], 200));
    assert!(
        found[3..9].iter().all(|&luma| (111..=117).contains(&luma)),
        "{found:?}"
    );
}

#[test]
fn other_files_are_counted_and_hidden_ones_passed_over() {
    let root = tempfile::tempdir().unwrap();
    write_pets(root.path());
    let before = load(&config(root.path())).unwrap();
    write(root.path(), ".hidden/1.png", 0);
    write(root.path(), "cats/.hidden.png", 0);
    write(root.path(), "cats/.folder/1.png", 0);
    let splits = load(&config(root.path())).unwrap();
    assert_eq!((splits.notes.len(), &splits.digest), (1, &before.digest));
    for file in [
        "notes.txt",
        "loose.png",
        "cats/list.csv",
        "dogs/deep/film.gif",
        "dogs/none",
    ] {
        fs::create_dir_all(root.path().join(file).parent().unwrap()).unwrap();
        fs::write(root.path().join(file), b"x").unwrap();
    }
    let splits = load(&config(root.path())).unwrap();
    assert!(splits.notes[1].contains("5 file(s)"), "{:?}", splits.notes);
    assert_eq!(splits.digest, before.digest);
}

#[test]
fn folders_that_are_no_set() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path();
    assert!(refusal(&path.join("absent")).contains("absent"));
    assert!(refusal(path).contains("0 folder(s)"));
    write(path, "cats/1.png", 0);
    assert!(refusal(path).contains("1 folder(s)"));
    fs::create_dir(path.join("dogs")).unwrap();
    let error = refusal(path);
    assert!(
        error.contains("dogs") && error.contains("no picture"),
        "{error}"
    );
    fs::write(path.join("dogs/1.txt"), b"x").unwrap();
    fs::create_dir(path.join("dogs/1.png")).unwrap();
    assert!(refusal(path).contains("no picture"));
    write(path, "dogs/2.png", 0);
    let error = refusal(path);
    assert!(
        error.contains("cats") && error.contains("one picture"),
        "{error}"
    );
    write(path, "cats/2.png", 0);
    write(path, "dogs/3.png", 0);
    load(&config(path)).unwrap();
    let error = refusal(&path.join("cats/1.png"));
    assert!(error.contains("1.png"), "{error}");
}

#[test]
fn broken_pictures_are_named() {
    let root = tempfile::tempdir().unwrap();
    write_pets(root.path());
    let path = root.path().join("dogs/3.png");
    let mut jpeg = std::io::Cursor::new(Vec::new());
    RgbImage::from_fn(64, 64, |x, y| {
        Rgb([x as u8 * 4, y as u8 * 4, (x * y) as u8])
    })
    .write_to(&mut jpeg, ImageFormat::Jpeg)
    .unwrap();
    let jpeg = jpeg.into_inner();
    for bytes in [&b""[..], b"hello", &jpeg[..jpeg.len() / 2], &giant_png()] {
        fs::write(&path, bytes).unwrap();
        let error = load(&config(root.path())).unwrap_err();
        assert!(matches!(error, DataError::Picture { .. }), "{error}");
        assert!(error.to_string().contains("dogs/3.png"), "{error}");
        let streamed = ImageFolderConfig {
            memory_limit_mib: 0,
            ..config(root.path())
        };
        let splits = load(&streamed).unwrap();
        let mut image = vec![0.0; splits.shape.pixels()];
        let failed: Vec<_> = [&splits.train, &splits.test]
            .iter()
            .flat_map(|set| {
                (0..set.len())
                    .map(|index| set.image(index, &mut image))
                    .collect::<Vec<_>>()
            })
            .filter_map(Result::err)
            .collect();
        assert_eq!(failed.len(), 1);
        assert!(failed[0].to_string().contains("dogs/3.png"));
    }
}

/// The header of a PNG file of 60,000×60,000, as a decoder sees it before any pixel.
fn giant_png() -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(60_000u32.to_be_bytes());
    chunk.extend(60_000u32.to_be_bytes());
    chunk.extend([8, 6, 0, 0, 0]);
    let mut check = flate2::Crc::new();
    check.update(&chunk);
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend(&chunk);
    bytes.extend(check.sum().to_be_bytes());
    bytes.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    bytes
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_circles_end() {
    use std::os::unix::fs::symlink;
    let root = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    write_pets(root.path());
    write(elsewhere.path(), "birds/1.png", 200);
    write(elsewhere.path(), "birds/2.png", 201);
    symlink(elsewhere.path().join("birds"), root.path().join("birds")).unwrap();
    symlink(
        elsewhere.path().join("birds/1.png"),
        root.path().join("cats/linked.png"),
    )
    .unwrap();
    symlink(root.path(), root.path().join("cats/circle")).unwrap();
    symlink(root.path().join("dogs"), root.path().join("dogs/again")).unwrap();
    // The circle leads from the cats to all folders; each is shown once, the cats' own under their own name.
    let splits = load(&config(root.path())).unwrap();
    assert_eq!(splits.classes, ["birds", "cats", "dogs"]);
    let mut counts = BTreeMap::new();
    for label in [labels(&*splits.train), labels(&*splits.test)].concat() {
        *counts.entry(label).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([(0, 2), (1, 11 + 2 + 5), (2, 5)]));
    symlink("nowhere", root.path().join("cats/broken.png")).unwrap();
    assert!(refusal(root.path()).contains("broken.png"));
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_unicode_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let root = tempfile::tempdir().unwrap();
    write_pets(root.path());
    let name = std::ffi::OsStr::from_bytes(b"cats/\xff.png");
    fs::write(root.path().join(name), b"x").unwrap();
    assert!(refusal(root.path()).contains("Unicode"));
}

#[test]
fn settings() {
    for (settings, key) in [
        ("", "path"),
        (r#", "size": 0"#, "size"),
        (r#", "size": [4, 5000]"#, "size"),
        (r#", "channels": 2"#, "channels"),
        (r#", "test_share": 0"#, "test_share"),
        (r#", "test_share": 1.0"#, "test_share"),
        (r#", "test_share": -0.5"#, "test_share"),
        (r#", "train_limit": 0"#, "train_limit"),
    ] {
        let json = format!(r#"{{"type": "image-folder"{settings}}}"#);
        let config: Box<dyn DataConfig> = serde_json::from_str(&json).unwrap();
        let error = config.load(&DataSearch::default()).unwrap_err();
        assert!(matches!(error, DataError::Setting { .. }), "{error}");
        assert!(error.to_string().contains(key), "{error}");
    }
    let nan = ImageFolderConfig {
        test_share: f64::NAN,
        ..ImageFolderConfig::default()
    };
    assert!(load(&nan).unwrap_err().to_string().contains("test_share"));
    for json in [
        r#"{"type":"image-folder","path":"photos","size":[48,64],"channels":1,"test_share":0.5,"split_seed":3,"train_limit":9,"memory_limit_mib":0}"#,
        r#"{"type":"image-folder","size":32,"channels":3,"test_share":0.2,"split_seed":0,"memory_limit_mib":1024}"#,
    ] {
        let config: Box<dyn DataConfig> = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&config.clone()).unwrap(), json);
    }
    let wrong =
        serde_json::from_str::<Box<dyn DataConfig>>(r#"{"type":"image-folder","size":"big"}"#);
    assert!(wrong.unwrap_err().to_string().contains("[rows, columns]"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn splits_are_stratified_and_do_not_overlap(
        first in 2u8..30, second in 2u8..30, test_share in 0.01f64..0.99, split_seed: u64,
    ) {
        let root = tempfile::tempdir().unwrap();
        for (class, count, base) in [("a", first, 0), ("b", second, 100)] {
            for number in 0..count {
                write(root.path(), &format!("{class}/{number}.png"), base + number);
            }
        }
        let config = ImageFolderConfig { test_share, split_seed, ..config(root.path()) };
        let splits = load(&config).unwrap();
        let test = firsts(&*splits.test);
        let train = firsts(&*splits.train);
        for (count, range) in [(first, 0..100), (second, 100..200)] {
            let tests = test.iter().filter(|value| range.contains(*value)).count();
            let expected = (f64::from(count) * test_share).round() as usize;
            prop_assert_eq!(tests, expected.clamp(1, usize::from(count) - 1));
        }
        let mut all = [&train[..], &test[..]].concat();
        all.sort_unstable();
        all.dedup();
        prop_assert_eq!(all.len(), usize::from(first) + usize::from(second));
        prop_assert_eq!(firsts(&*load(&config).unwrap().test), test);
    }
}
