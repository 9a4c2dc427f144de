//! CelebA: its folders and its archive, made up; and the figures of real faces where they lie.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use protovae_data::{
    CelebaConfig, DataConfig, DataError, DataSearch, DataSplits, Dataset, ImageShape,
};

fn labels(set: &dyn Dataset) -> Vec<usize> {
    (0..set.len())
        .map(|index| set.label(index).unwrap())
        .collect()
}

fn mean(set: &dyn Dataset, index: usize) -> [f64; 3] {
    let mut image = vec![0.0; set.shape().pixels()];
    set.image(index, &mut image).unwrap();
    let plane = image.len() / 3;
    [0, 1, 2].map(|channel| {
        let plane = &image[channel * plane..(channel + 1) * plane];
        let sum: f64 = plane.iter().map(|&value| f64::from(value)).sum();
        (sum / plane.len() as f64 + 1.0) * 127.5
    })
}

/// A face is grey of ten times its number.
fn face(number: u8) -> RgbImage {
    RgbImage::from_pixel(178, 218, Rgb([number * 10; 3]))
}

const LIST: &str = "4\nMale Young Bald\n\
    000001.jpg -1  1 -1\n000002.jpg  1  1 -1\n000003.jpg  1 -1 -1\n000004.jpg -1 -1  1\n";

/// Four faces in a folder of images.
fn write_celeba(root: &Path, images: &str) {
    let folder = root.join(images);
    fs::create_dir_all(&folder).unwrap();
    for number in 1..=4 {
        face(number)
            .save(folder.join(format!("00000{number}.jpg")))
            .unwrap();
    }
    fs::write(root.join("list_attr_celeba.txt"), LIST).unwrap();
}

fn zip_of_faces(path: &Path, prefix: &str, deflate: bool) {
    let method = if deflate {
        zip::CompressionMethod::Deflated
    } else {
        zip::CompressionMethod::Stored
    };
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    let mut writer = zip::ZipWriter::new(fs::File::create(path).unwrap());
    for number in [4, 2, 3, 1] {
        let mut jpeg = std::io::Cursor::new(Vec::new());
        face(number)
            .write_to(&mut jpeg, image::ImageFormat::Jpeg)
            .unwrap();
        writer
            .start_file(format!("{prefix}00000{number}.jpg"), options)
            .unwrap();
        writer.write_all(jpeg.get_ref()).unwrap();
    }
    writer.finish().unwrap();
}

fn config(root: &Path) -> CelebaConfig {
    CelebaConfig {
        path: Some(root.to_path_buf()),
        ..CelebaConfig::default()
    }
}

fn load(config: &CelebaConfig) -> Result<DataSplits, DataError> {
    config.load(&DataSearch::default())
}

#[test]
fn a_folder_without_a_list_of_splits() {
    let root = tempfile::tempdir().unwrap();
    write_celeba(root.path(), "img_align_celeba");
    let splits = load(&config(root.path())).unwrap();
    assert_eq!(splits.name, "celeba-4");
    assert_eq!(splits.classes, ["female", "male"]);
    assert_eq!(splits.shape, ImageShape::new(3, 224, 224));
    assert_eq!(labels(&*splits.train), [0, 1, 1]);
    assert_eq!(labels(&*splits.test), [0]);
    assert_eq!(splits.folder.as_deref(), Some(root.path()));
    assert_eq!(splits.notes.len(), 2, "{:?}", splits.notes);
    assert!(splits.notes[0].contains("202599"), "{:?}", splits.notes);
    assert!(
        splits.notes[1].contains("the last 1 files"),
        "{:?}",
        splits.notes
    );
    for (index, number) in [(0, 1.0), (1, 2.0), (2, 3.0)] {
        for mean in mean(&*splits.train, index) {
            assert!((mean - 10.0 * number).abs() < 1.5, "{index}: {mean}");
        }
    }
    let other = CelebaConfig {
        attribute: "Bald".to_string(),
        size: 8,
        train_limit: Some(2),
        ..config(root.path())
    };
    let splits = load(&other).unwrap();
    assert_eq!(splits.classes, ["not Bald", "Bald"]);
    assert_eq!(
        (labels(&*splits.train), labels(&*splits.test)),
        (vec![0, 0], vec![1])
    );
    assert_eq!(splits.shape, ImageShape::new(3, 8, 8));
}

#[test]
fn the_publishers_splits() {
    let root = tempfile::tempdir().unwrap();
    write_celeba(root.path(), "img_align_celeba");
    for (name, text) in [
        // In another order, and with a file that the other list has not.
        (
            "list_eval_partition.csv",
            "image_id,partition\n000009.jpg,0\n000004.jpg,0\n000003.jpg,2\n000002.jpg,1\n000001.jpg,2\n",
        ),
        (
            "list_eval_partition.txt",
            "000001.jpg 2\n000002.jpg 1\n000003.jpg 2\r\n000004.jpg 0\n\n",
        ),
    ] {
        fs::write(root.path().join(name), text).unwrap();
        let splits = load(&config(root.path())).unwrap();
        assert_eq!(labels(&*splits.train), [0]);
        assert_eq!(labels(&*splits.test), [0, 1]);
        assert!((mean(&*splits.test, 1)[0] - 30.0).abs() < 1.5);
        assert_eq!(splits.notes.len(), 1);
    }
    fs::write(
        root.path().join("list_eval_partition.txt"),
        "000001.jpg 0\n000002.jpg 2\n",
    )
    .unwrap();
    let error = load(&config(root.path())).unwrap_err();
    assert!(
        error.to_string().contains("does not list `000003.jpg`"),
        "{error}"
    );
    // No image tests.
    fs::write(
        root.path().join("list_eval_partition.txt"),
        "000001.jpg 0\n000002.jpg 0\n000003.jpg 0\n000004.jpg 1\n",
    )
    .unwrap();
    let error = load(&config(root.path())).unwrap_err();
    assert!(error.to_string().contains("no test images"), "{error}");
}

#[test]
fn every_place_of_the_images_is_the_same_set() {
    let mut digests = Vec::new();
    for images in [
        "img_align_celeba",
        "img_align_celeba/img_align_celeba",
        "Img/img_align_celeba",
    ] {
        let root = tempfile::tempdir().unwrap();
        write_celeba(root.path(), images);
        digests.push(load(&config(root.path())).unwrap().digest);
    }
    for (prefix, deflate) in [("img_align_celeba/", true), ("", false)] {
        let root = tempfile::tempdir().unwrap();
        zip_of_faces(&root.path().join("img_align_celeba.zip"), prefix, deflate);
        fs::write(root.path().join("list_attr_celeba.txt"), LIST).unwrap();
        let splits = load(&config(root.path())).unwrap();
        assert_eq!(labels(&*splits.train), [0, 1, 1]);
        for (index, number) in [(0, 1.0), (1, 2.0), (2, 3.0)] {
            assert!((mean(&*splits.train, index)[1] - 10.0 * number).abs() < 1.5);
        }
        digests.push(splits.digest);
        // In memory the images are the same, and so is the digest.
        let held = CelebaConfig {
            memory_limit_mib: 1,
            ..config(root.path())
        };
        let held = load(&held).unwrap();
        assert!(
            format!("{:?}", held.train).contains("InMemory"),
            "{:?}",
            held.train
        );
        assert_eq!(mean(&*held.train, 2), mean(&*splits.train, 2));
        digests.push(held.digest);
    }
    assert!(
        digests.iter().all(|digest| *digest == digests[0]),
        "{digests:?}"
    );
    // Another size, label or length of a file is another set.
    let root = tempfile::tempdir().unwrap();
    write_celeba(root.path(), "img_align_celeba");
    let small = CelebaConfig {
        size: 8,
        ..config(root.path())
    };
    assert_ne!(load(&small).unwrap().digest, digests[0]);
    let other = CelebaConfig {
        attribute: "Young".into(),
        ..config(root.path())
    };
    assert_ne!(load(&other).unwrap().digest, digests[0]);
    let file = root.path().join("img_align_celeba/000002.jpg");
    let mut bytes = fs::read(&file).unwrap();
    bytes.push(0);
    fs::write(file, bytes).unwrap();
    assert_ne!(load(&config(root.path())).unwrap().digest, digests[0]);
}

#[test]
fn missing_images_are_counted() {
    let root = tempfile::tempdir().unwrap();
    write_celeba(root.path(), "img_align_celeba");
    fs::remove_file(root.path().join("img_align_celeba/000002.jpg")).unwrap();
    fs::remove_file(root.path().join("img_align_celeba/000004.jpg")).unwrap();
    let error = load(&config(root.path())).unwrap_err().to_string();
    assert!(
        error.contains("2 of the 4") && error.contains("`000002.jpg`"),
        "{error}"
    );

    let root = tempfile::tempdir().unwrap();
    zip_of_faces(
        &root.path().join("img_align_celeba.zip"),
        "img_align_celeba/",
        true,
    );
    fs::write(
        root.path().join("list_attr_celeba.txt"),
        LIST.replace("000003", "000033").replace("000004", "000044"),
    )
    .unwrap();
    let error = load(&config(root.path())).unwrap_err().to_string();
    assert!(
        error.contains("2 of the 4") && error.contains("`000033.jpg`"),
        "{error}"
    );
    assert!(error.contains("img_align_celeba.zip"), "{error}");
}

#[test]
fn what_is_not_there_is_named() {
    let root = tempfile::tempdir().unwrap();
    let error = load(&config(root.path())).unwrap_err();
    assert!(matches!(error, DataError::NotFound { .. }), "{error}");
    assert!(
        error.to_string().contains("list_attr_celeba.txt"),
        "{error}"
    );
    fs::write(root.path().join("list_attr_celeba.txt"), LIST).unwrap();
    let error = load(&config(root.path())).unwrap_err();
    assert!(matches!(error, DataError::NotFound { .. }), "{error}");
    assert!(
        error.to_string().contains("img_align_celeba.zip"),
        "{error}"
    );
    fs::write(root.path().join("img_align_celeba.zip"), b"no archive").unwrap();
    let error = load(&config(root.path())).unwrap_err();
    assert!(
        error.to_string().contains("truncated or no archive"),
        "{error}"
    );
    fs::remove_file(root.path().join("list_attr_celeba.txt")).unwrap();
    let error = load(&config(root.path())).unwrap_err().to_string();
    assert!(error.contains("missing: list_attr_celeba.txt"), "{error}");
}

#[test]
fn broken_images_are_named_when_they_are_read() {
    let root = tempfile::tempdir().unwrap();
    write_celeba(root.path(), "img_align_celeba");
    let file = root.path().join("img_align_celeba/000002.jpg");
    let whole = fs::read(&file).unwrap();
    for bytes in [
        &whole[..0],
        &whole[..100],
        &whole[..whole.len() * 2 / 3],
        b"no picture",
    ] {
        fs::write(&file, bytes).unwrap();
        let splits = load(&config(root.path())).unwrap();
        let mut image = vec![0.0; splits.shape.pixels()];
        splits.train.image(0, &mut image).unwrap();
        let error = splits.train.image(1, &mut image).unwrap_err();
        assert!(error.to_string().contains("000002.jpg"), "{error}");
        let held = CelebaConfig {
            memory_limit_mib: 100,
            ..config(root.path())
        };
        let error = load(&held).unwrap_err();
        assert!(error.to_string().contains("000002.jpg"), "{error}");
    }
    assert!(splits_errors(root.path()));
}

/// Buffers and indices that do not fit.
fn splits_errors(root: &Path) -> bool {
    let splits = load(&config(root)).unwrap();
    matches!(
        splits.train.image(3, &mut vec![0.0; 150_528]),
        Err(DataError::IndexOutOfRange { index: 3, len: 3 })
    ) && matches!(
        splits.train.image(0, &mut [0.0; 4]),
        Err(DataError::BufferLength { .. })
    ) && splits.train.label(3).is_err()
}

#[test]
fn settings() {
    let root = tempfile::tempdir().unwrap();
    write_celeba(root.path(), "img_align_celeba");
    let unknown = CelebaConfig {
        attribute: "male".to_string(),
        ..config(root.path())
    };
    let error = load(&unknown).unwrap_err().to_string();
    assert!(
        error.contains("did you mean `Male`?") && error.contains("Bald"),
        "{error}"
    );
    for (json, key) in [
        (r#"{"type": "celeba", "size": 0}"#, "size"),
        (r#"{"type": "celeba", "size": 4097}"#, "size"),
        (r#"{"type": "celeba", "test_limit": 0}"#, "test_limit"),
    ] {
        let config: Box<dyn DataConfig> = serde_json::from_str(json).unwrap();
        let error = config.load(&DataSearch::default()).unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }
    let json = r#"{"type":"celeba","attribute":"Male","size":224,"memory_limit_mib":0}"#;
    let config: Box<dyn DataConfig> = serde_json::from_str(r#"{"type":"celeba"}"#).unwrap();
    assert_eq!(serde_json::to_string(&config.clone()).unwrap(), json);
}

/// Only where `PROTOVAE_TEST_DATA` names a folder with `celeba`, the 3,000 faces of half size that this project is tested
/// with. The figures come from `picture_golden.py`: NumPy over the list, Pillow's decoder and its BICUBIC.
#[test]
fn faces_of_the_published_set() {
    let Some(folder) = std::env::var_os("PROTOVAE_TEST_DATA").map(PathBuf::from) else {
        return;
    };
    if !folder.join("celeba").is_dir() {
        return;
    }
    let search = DataSearch::in_folder(folder);
    let splits = CelebaConfig::default().load(&search).unwrap();
    if splits.train.len() + splits.test.len() != 3000 {
        return;
    }
    assert_eq!(splits.name, "celeba-3k");
    assert_eq!((splits.train.len(), splits.test.len()), (2700, 300));
    let (train, test) = (labels(&*splits.train), labels(&*splits.test));
    assert_eq!(train[..12], [0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1]);
    assert_eq!(
        (train.iter().sum::<usize>(), test.iter().sum::<usize>()),
        (1130, 125)
    );
    for (index, expected) in [
        (0, [180.547, 137.151, 110.199]),
        (1, [131.455, 112.965, 107.41]),
        (2, [147.363, 134.594, 126.396]),
        (1499, [163.183, 148.759, 134.483]),
        (2699, [139.515, 121.952, 118.166]),
    ] {
        for (found, expected) in mean(&*splits.train, index).into_iter().zip(expected) {
            // The two decoders of JPEG round differently, most of all in blue.
            assert!(
                (found - expected).abs() < 0.6,
                "{index}: {found} {expected}"
            );
        }
    }
    for (attribute, train, test) in [("Smiling", 1311, 139), ("Young", 2098, 233)] {
        let config = CelebaConfig {
            attribute: attribute.into(),
            ..CelebaConfig::default()
        };
        let splits = config.load(&search).unwrap();
        assert_eq!(labels(&*splits.train).iter().sum::<usize>(), train);
        assert_eq!(labels(&*splits.test).iter().sum::<usize>(), test);
    }
}
