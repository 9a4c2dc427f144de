//! Configs and the sets they load.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use protovae_data::{
    Cifar10Config, DataConfig, DataError, DataSearch, Dataset, ImageShape, Mnist5kConfig,
    MnistConfig, known_types,
};

fn config(json: &str) -> Box<dyn DataConfig> {
    serde_json::from_str(json).unwrap()
}

fn refusal(json: &str) -> String {
    serde_json::from_str::<Box<dyn DataConfig>>(json)
        .unwrap_err()
        .to_string()
}

fn labels(set: &dyn Dataset) -> Vec<usize> {
    (0..set.len())
        .map(|index| set.label(index).unwrap())
        .collect()
}

/// Mean and standard deviation over all values.
fn moments(set: &dyn Dataset) -> (f64, f64) {
    let mut image = vec![0.0; set.shape().pixels()];
    let (mut sum, mut squares) = (0.0, 0.0);
    for index in 0..set.len() {
        set.image(index, &mut image).unwrap();
        for &value in &image {
            sum += f64::from(value);
            squares += f64::from(value).powi(2);
        }
    }
    let count = (set.len() * image.len()) as f64;
    let mean = sum / count;
    (mean, (squares / count - mean * mean).sqrt())
}

fn byte_sum(set: &dyn Dataset, index: usize) -> u32 {
    let mut image = vec![0.0; set.shape().pixels()];
    set.image(index, &mut image).unwrap();
    image
        .iter()
        .map(|value| ((value + 1.0) * 127.5).round() as u32)
        .sum()
}

/// The figures come from NumPy over the CSV file that the assets were made from.
#[test]
fn mnist_5k_is_what_its_source_holds() {
    let splits = Mnist5kConfig::default()
        .load(&DataSearch::default())
        .unwrap();
    assert_eq!(splits.shape, ImageShape::new(1, 28, 28));
    assert_eq!(
        splits.classes,
        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    );
    assert_eq!((splits.train.len(), splits.test.len()), (4000, 1000));
    for (set, each) in [(&splits.train, 400), (&splits.test, 100)] {
        let labels = labels(&**set);
        assert_eq!(&labels[..12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
        for class in 0..10 {
            assert_eq!(labels.iter().filter(|&&label| label == class).count(), each);
        }
    }
    let (mean, deviation) = moments(&*splits.train);
    assert!((mean + 0.738_280_222_088_835_6).abs() < 1e-7, "{mean}");
    assert!(
        (deviation - 0.616_031_129_670_712_4).abs() < 1e-7,
        "{deviation}"
    );
    let (mean, deviation) = moments(&*splits.test);
    assert!((mean + 0.733_682_813_125_25).abs() < 1e-7, "{mean}");
    assert!(
        (deviation - 0.621_346_415_036_997_7).abs() < 1e-7,
        "{deviation}"
    );
    let first: Vec<u32> = (0..10)
        .map(|index| byte_sum(&*splits.train, index))
        .collect();
    assert_eq!(
        first,
        [
            31095, 17135, 29601, 35867, 19443, 27525, 28443, 25296, 27106, 23214
        ]
    );
    let last: Vec<u32> = (990..1000)
        .map(|index| byte_sum(&*splits.test, index))
        .collect();
    assert_eq!(
        last,
        [
            45263, 15878, 41070, 32250, 36033, 19928, 20323, 24584, 39421, 33540
        ]
    );
    assert_eq!(
        splits.digest,
        "fe82838795187eee863c6c7c8707fe058a1369997209e97d1ddab9b64e4a2c18"
    );
}

#[test]
fn limits_take_the_first_images() {
    let all = config(r#"{"type": "mnist-5k"}"#)
        .load(&DataSearch::default())
        .unwrap();
    let some = config(r#"{"train_limit": 30, "type": "mnist-5k", "test_limit": 999999}"#)
        .load(&DataSearch::default())
        .unwrap();
    assert_eq!((some.train.len(), some.test.len()), (30, 1000));
    assert_eq!(byte_sum(&*some.train, 29), byte_sum(&*all.train, 29));
    assert_ne!(some.digest, all.digest);
    for kind in known_types() {
        for key in ["train_limit", "test_limit"] {
            let error = config(&format!(r#"{{"type": "{kind}", "{key}": 0}}"#))
                .load(&DataSearch::default())
                .unwrap_err();
            assert!(matches!(error, DataError::Setting { .. }), "{error}");
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}

#[test]
fn known_types_are_sorted_and_complete() {
    assert_eq!(
        known_types(),
        [
            "celeba",
            "cifar-10",
            "fashion-mnist",
            "image-folder",
            "mnist",
            "mnist-5k",
            "quickdraw",
            "svhn"
        ]
    );
}

#[test]
fn unknown_types_and_keys_are_refused() {
    let message = refusal(r#"{"type": "minst"}"#);
    for kind in known_types() {
        assert!(message.contains(&format!("`{kind}`")), "{message}");
        for json in [
            format!(r#"{{"type": "{kind}", "train_limt": 3}}"#),
            format!(r#"{{"train_limt": 3, "type": "{kind}"}}"#),
        ] {
            let message = refusal(&json);
            assert!(
                message.contains("train_limt") && message.contains("train_limit"),
                "{message}"
            );
        }
    }
    assert!(refusal("{}").contains("type"));
    assert!(refusal(r#"{"type": "mnist", "train_limit": -1}"#).contains("-1"));
}

#[test]
fn configs_come_back_from_json() {
    for json in [
        r#"{"type":"mnist","path":"somewhere","train_limit":5}"#,
        r#"{"type":"mnist-5k"}"#,
        r#"{"type":"cifar-10","test_limit":7}"#,
    ] {
        let config = config(json).clone();
        assert_eq!(serde_json::to_string(&config).unwrap(), json);
    }
}

fn write_idx(path: PathBuf, dimensions: &[u32], data: &[u8]) {
    let mut bytes = (0x0800 + dimensions.len() as u32).to_be_bytes().to_vec();
    for dimension in dimensions {
        bytes.extend(dimension.to_be_bytes());
    }
    bytes.extend(data);
    fs::write(path, bytes).unwrap();
}

/// Three training images and two test images of 2×2, under three spellings of the names.
fn write_small_mnist(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    write_idx(folder.join("train-images-idx3-ubyte"), &[3, 2, 2], &[1; 12]);
    write_idx(folder.join("train-labels.idx1-ubyte"), &[3], &[1, 2, 3]);
    // The name says gzip and the content does not.
    write_idx(
        folder.join("t10k-images-idx3-ubyte.gz"),
        &[2, 2, 2],
        &[2; 8],
    );
    write_idx(folder.join("t10k-labels-idx1-ubyte"), &[2], &[9, 0]);
}

#[test]
fn mnist_is_found_in_its_places() {
    let root = tempfile::tempdir().unwrap();
    write_small_mnist(&root.path().join("MNIST/raw"));
    let splits = MnistConfig::default()
        .load(&DataSearch::in_folder(root.path()))
        .unwrap();
    assert_eq!(labels(&*splits.train), [1, 2, 3]);
    assert_eq!(labels(&*splits.test), [9, 0]);
    assert_eq!(splits.shape, ImageShape::new(1, 2, 2));
    assert_eq!(splits.folder, Some(root.path().join("MNIST/raw")));

    // The same images from elsewhere have the same digest.
    let flat = tempfile::tempdir().unwrap();
    write_small_mnist(flat.path());
    let again = MnistConfig::default()
        .load(&DataSearch::in_folder(flat.path()))
        .unwrap();
    assert_eq!(splits.digest, again.digest);
    let limited = MnistConfig {
        path: Some(flat.path().to_path_buf()),
        train_limit: Some(2),
        ..MnistConfig::default()
    };
    let limited = limited.load(&DataSearch::default()).unwrap();
    assert_eq!(labels(&*limited.train), [1, 2]);
}

#[test]
fn counts_and_shapes_must_agree() {
    let folder = tempfile::tempdir().unwrap();
    let load = || {
        MnistConfig {
            path: Some(folder.path().to_path_buf()),
            ..MnistConfig::default()
        }
        .load(&DataSearch::default())
        .unwrap_err()
    };
    write_small_mnist(folder.path());
    write_idx(
        folder.path().join("t10k-labels-idx1-ubyte"),
        &[3],
        &[9, 0, 1],
    );
    let error = load();
    assert!(
        matches!(
            error,
            DataError::CountMismatch {
                images: 2,
                labels: 3,
                ..
            }
        ),
        "{error}"
    );
    write_small_mnist(folder.path());
    write_idx(
        folder.path().join("t10k-images-idx3-ubyte.gz"),
        &[2, 2, 1],
        &[2; 4],
    );
    let error = load();
    assert!(matches!(error, DataError::Format { .. }), "{error}");
}

#[test]
fn missing_files_name_what_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    write_small_mnist(folder.path());
    fs::rename(
        folder.path().join("train-labels.idx1-ubyte"),
        folder.path().join("train-labels-idx1-ubyte.zip"),
    )
    .unwrap();
    let error = MnistConfig {
        path: Some(folder.path().to_path_buf()),
        ..MnistConfig::default()
    }
    .load(&DataSearch::default())
    .unwrap_err();
    let message = error.to_string();
    for part in [
        "`mnist`",
        "train-labels-idx1-ubyte.gz or train-labels-idx1-ubyte",
        "train-labels-idx1-ubyte.zip",
        "--data-dir",
        &folder.path().display().to_string(),
    ] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
    assert!(!message.contains("t10k-images"), "{message}");
}

#[test]
fn cifar_10_is_read_in_the_order_of_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("cifar-10-batches-bin");
    fs::create_dir(&inner).unwrap();
    for (label, name) in [
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
        "test_batch.bin",
    ]
    .iter()
    .enumerate()
    {
        let mut record = vec![label as u8; 3073];
        record[1] = 255;
        fs::write(inner.join(name), record).unwrap();
    }
    let splits = Cifar10Config::default()
        .load(&DataSearch::in_folder(folder.path()))
        .unwrap();
    assert_eq!(labels(&*splits.train), [0, 1, 2, 3, 4]);
    assert_eq!(labels(&*splits.test), [5]);
    assert_eq!(splits.classes[9], "truck");
    assert_eq!(splits.shape, ImageShape::new(3, 32, 32));
    // Six images are not CIFAR-10.
    assert_eq!(splits.name, "cifar-10-6");
    assert!(
        splits.notes[0].contains("50000 and 10000"),
        "{:?}",
        splits.notes
    );
}

/// Where only the archive is there it is read; files in a folder win; `path` may be the archive itself.
#[test]
fn cifar_10_is_read_from_its_archive() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("cifar-10-binary.tar.gz");
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    // In the publisher's order.
    let mut add = |name: &str, data: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        let name = format!("cifar-10-batches-bin/{name}");
        tar.append_data(&mut header, name, data).unwrap();
    };
    let record = |label: u8| vec![label; 2 * 3073];
    add("data_batch_1.bin", &record(1));
    add("batches.meta.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
    add("data_batch_3.bin", &record(3));
    add("data_batch_4.bin", &record(4));
    add("test_batch.bin", &record(6));
    add("readme.html", b"<html></html>");
    add("data_batch_5.bin", &record(5));
    add("data_batch_2.bin", &record(2));
    let packed = tar.into_inner().unwrap().finish().unwrap();
    fs::write(&archive, &packed).unwrap();

    let found = Cifar10Config::default()
        .load(&DataSearch::in_folder(folder.path()))
        .unwrap();
    assert_eq!(labels(&*found.train), [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    assert_eq!(labels(&*found.test), [6, 6]);
    assert_eq!(found.classes[2], "c");
    assert_eq!(found.folder, Some(folder.path().to_path_buf()));
    let limited = Cifar10Config {
        path: Some(archive.clone()),
        train_limit: Some(3),
        test_limit: Some(1),
    };
    let limited = limited.load(&DataSearch::default()).unwrap();
    assert_eq!(
        (labels(&*limited.train), limited.test.len()),
        (vec![1, 1, 2], 1)
    );
    // By what the files hold, whatever is used of it.
    assert_eq!([&found.name, &limited.name], ["cifar-10-12"; 2]);

    fs::write(&archive, &packed[..packed.len() / 2]).unwrap();
    let error = Cifar10Config::default()
        .load(&DataSearch::in_folder(folder.path()))
        .unwrap_err()
        .to_string();
    assert!(error.contains("cifar-10-binary.tar.gz"), "{error}");
    for number in 1..=6 {
        let name = match number {
            6 => "test_batch.bin".to_string(),
            other => format!("data_batch_{other}.bin"),
        };
        fs::write(folder.path().join(name), vec![0; 3073]).unwrap();
    }
    let files = Cifar10Config::default()
        .load(&DataSearch::in_folder(folder.path()))
        .unwrap();
    assert_eq!(labels(&*files.train), [0; 5]);
}
