//! SVHN and QuickDraw from small files of their formats.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use protovae_data::{
    DataConfig, DataError, DataSearch, DataSplits, Dataset, ImageShape, QuickdrawConfig, SvhnConfig,
};

fn labels(set: &dyn Dataset) -> Vec<usize> {
    (0..set.len())
        .map(|index| set.label(index).unwrap())
        .collect()
}

fn bytes(set: &dyn Dataset, index: usize) -> Vec<u8> {
    let mut image = vec![0.0; set.shape().pixels()];
    set.image(index, &mut image).unwrap();
    image
        .iter()
        .map(|value| ((value + 1.0) * 127.5).round() as u8)
        .collect()
}

fn element(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn variable(name: &str, sides: &[u32], data: &[u8]) -> Vec<u8> {
    let sides: Vec<u8> = sides.iter().flat_map(|side| side.to_le_bytes()).collect();
    let parts = [
        element(6, &[9, 0, 0, 0, 0, 0, 0, 0]),
        element(5, &sides),
        element(1, name.as_bytes()),
        element(2, data),
    ];
    element(14, &parts.concat())
}

fn write_mat(path: &Path, variables: &[Vec<u8>]) {
    let mut bytes = b"MATLAB 5.0 MAT-file".to_vec();
    bytes.resize(124, b' ');
    bytes.extend(b"\x00\x01IM");
    bytes.extend(variables.concat());
    fs::write(path, bytes).unwrap();
}

/// The pixel at row, column, channel of image n, of which the file's order and ours differ.
fn pixel(row: usize, column: usize, channel: usize, n: usize) -> u8 {
    (row * 7 + column * 31 + channel * 101 + n * 57) as u8
}

fn write_svhn(path: &Path, labels: &[u8]) {
    let mut x = Vec::new();
    for n in 0..labels.len() {
        for channel in 0..3 {
            for column in 0..32 {
                x.extend((0..32).map(|row| pixel(row, column, channel, n)));
            }
        }
    }
    let count = labels.len() as u32;
    // MATLAB drops a last side of 1.
    let sides = [32, 32, 3, count];
    let sides = if count == 1 { &sides[..3] } else { &sides };
    write_mat(
        path,
        &[variable("X", sides, &x), variable("y", &[count, 1], labels)],
    );
}

fn svhn(folder: &Path) -> Result<DataSplits, DataError> {
    SvhnConfig {
        path: Some(folder.to_path_buf()),
        ..SvhnConfig::default()
    }
    .load(&DataSearch::default())
}

#[test]
fn svhn_comes_row_by_row_with_10_as_0() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("svhn");
    fs::create_dir(&inner).unwrap();
    write_svhn(&inner.join("train_32x32.mat"), &[1, 10, 9]);
    write_svhn(&inner.join("test_32x32.mat"), &[10]);
    let splits = svhn(folder.path()).unwrap();
    assert_eq!(splits.shape, ImageShape::new(3, 32, 32));
    assert_eq!(labels(&*splits.train), [1, 0, 9]);
    assert_eq!(labels(&*splits.test), [0]);
    assert_eq!(splits.classes[9], "9");
    for n in 0..3 {
        let image = bytes(&*splits.train, n);
        for (at, &value) in image.iter().enumerate() {
            let (channel, row, column) = (at / 1024, at / 32 % 32, at % 32);
            assert_eq!(value, pixel(row, column, channel, n));
        }
    }
    // These are not SVHN, whatever the limits.
    assert_eq!(splits.name, "svhn-4");
    assert_eq!(splits.folder, Some(inner));
    let limited = SvhnConfig {
        path: Some(folder.path().to_path_buf()),
        train_limit: Some(2),
        test_limit: Some(5),
    };
    let limited = limited.load(&DataSearch::default()).unwrap();
    assert_eq!(labels(&*limited.train), [1, 0]);
    assert_eq!((limited.name.as_str(), limited.test.len()), ("svhn-4", 1));
    assert_eq!(limited.notes, splits.notes);
    let [note] = limited.notes.as_slice() else {
        panic!("{:?}", limited.notes);
    };
    assert!(
        note.contains("3 training and 1 test") && note.contains("73257"),
        "{note}"
    );
}

#[test]
fn svhn_files_that_lie() {
    let folder = tempfile::tempdir().unwrap();
    let train = folder.path().join("train_32x32.mat");
    let refusal = |variables: &[Vec<u8>]| {
        write_mat(&train, variables);
        svhn(folder.path()).unwrap_err()
    };
    write_svhn(&folder.path().join("test_32x32.mat"), &[1]);
    let x = variable("X", &[32, 32, 3, 2], &[0; 6144]);
    let y = |labels: &[u8]| variable("y", &[labels.len() as u32, 1], labels);
    for label in [0, 11] {
        let error = refusal(&[x.clone(), y(&[10, label])]).to_string();
        assert!(error.contains(&format!("label 1 is {label}")), "{error}");
    }
    let error = refusal(&[x.clone(), y(&[1])]);
    assert!(
        matches!(
            error,
            DataError::CountMismatch {
                images: 2,
                labels: 1,
                ..
            }
        ),
        "{error}"
    );
    for (variables, part) in [
        (vec![x.clone()], "`y`"),
        (vec![y(&[1, 2])], "`X`"),
        (vec![], "`X`"),
        (
            vec![variable("X", &[2, 3072], &[0; 6144]), y(&[1, 2])],
            "[2, 3072]",
        ),
        (
            vec![x.clone(), y(&[1, 2]), x.clone()],
            "two of its variables",
        ),
    ] {
        let error = refusal(&variables).to_string();
        assert!(
            error.contains(part) && error.contains("train_32x32.mat"),
            "{error}"
        );
    }
    fs::remove_file(&train).unwrap();
    let error = svhn(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("train_32x32.mat") && !error.contains("missing: test"),
        "{error}"
    );
}

/// Images of a class: number n is all of the byte n, but for the class's number in front.
fn write_npy(path: &Path, class: u8, count: usize) {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({count}, 784), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    for n in 0..count {
        bytes.push(class);
        bytes.extend([n as u8; 783]);
    }
    fs::write(path, bytes).unwrap();
}

fn write_classes(folder: &Path, names: &[&str], count: usize) {
    for (class, name) in names.iter().enumerate() {
        write_npy(&folder.join(format!("{name}.npy")), class as u8, count);
    }
}

fn quickdraw(folder: &Path) -> QuickdrawConfig {
    QuickdrawConfig {
        path: Some(folder.to_path_buf()),
        ..QuickdrawConfig::default()
    }
}

fn load(config: &QuickdrawConfig) -> Result<DataSplits, DataError> {
    config.load(&DataSearch::default())
}

/// Class and number of every image, from its pixels.
fn numbers(set: &dyn Dataset) -> Vec<(u8, u8)> {
    (0..set.len())
        .map(|index| {
            let image = bytes(set, index);
            assert_eq!(usize::from(image[0]), set.label(index).unwrap());
            (image[0], image[783])
        })
        .collect()
}

const PAPER: [&str; 10] = [
    "ant", "apple", "banana", "carrot", "cat", "cow", "dog", "frog", "grapes", "lion",
];

#[test]
fn classes_take_turns_and_the_split_goes_by_position() {
    let folder = tempfile::tempdir().unwrap();
    write_classes(folder.path(), &["b", "a", "c"], 9);
    let config = QuickdrawConfig {
        classes: Some(vec!["b".into(), "a".into(), "c".into()]),
        per_class_train: 4,
        per_class_test: 2,
        ..quickdraw(folder.path())
    };
    let splits = load(&config).unwrap();
    assert_eq!(splits.classes, ["b", "a", "c"]);
    assert_eq!(splits.shape, ImageShape::new(1, 28, 28));
    let train: Vec<(u8, u8)> = (0..4)
        .flat_map(|n| (0..3).map(move |class| (class, n)))
        .collect();
    let test: Vec<(u8, u8)> = (4..6)
        .flat_map(|n| (0..3).map(move |class| (class, n)))
        .collect();
    assert_eq!(numbers(&*splits.train), train);
    assert_eq!(numbers(&*splits.test), test);
    assert_eq!(splits.name, "quickdraw-3x6");
    assert_eq!(splits.notes.len(), 2);
    assert!(
        splits.notes[1].contains("4 images for training and 2 for testing"),
        "{:?}",
        splits.notes
    );

    let limited = QuickdrawConfig {
        train_limit: Some(7),
        test_limit: Some(3),
        ..config
    };
    let limited = load(&limited).unwrap();
    assert_eq!(numbers(&*limited.train), train[..7]);
    assert_eq!(numbers(&*limited.test), test[..3]);
    assert_eq!(limited.name, "quickdraw-3x6");
}

#[test]
fn the_papers_classes_come_first() {
    let folder = tempfile::tempdir().unwrap();
    write_classes(folder.path(), &PAPER, 10);
    // Another class does not matter, and the browser's spelling of a name does neither.
    write_npy(&folder.path().join("airplane.npy"), 77, 10);
    fs::rename(
        folder.path().join("cat.npy"),
        folder.path().join("full_numpy_bitmap_cat.npy"),
    )
    .unwrap();
    let splits = load(&quickdraw(folder.path())).unwrap();
    assert_eq!(splits.classes, PAPER);
    assert_eq!((splits.train.len(), splits.test.len()), (80, 20));
    assert_eq!(numbers(&*splits.test)[..2], [(0, 8), (1, 8)]);
    // Ten images a class are split 8 : 2, and it says so.
    assert_eq!(splits.name, "quickdraw-10x10");
    let [note] = splits.notes.as_slice() else {
        panic!("{:?}", splits.notes);
    };
    assert!(
        note.contains("10 images in its file, 8 for training and 2 for testing"),
        "{note}"
    );

    // One missing: every file of the folder is a class.
    fs::remove_file(folder.path().join("ant.npy")).unwrap();
    for name in ["airplane", "apple"] {
        write_npy(
            &folder.path().join(format!("{name}.npy")),
            u8::from(name == "apple"),
            10,
        );
    }
    let splits = load(&quickdraw(folder.path())).unwrap();
    assert_eq!(splits.classes[..2], ["airplane", "apple"]);
    assert_eq!(
        (splits.classes.len(), splits.classes[4].as_str()),
        (10, "cat")
    );
    assert!(splits.notes[0].contains("airplane") && splits.notes[0].contains("ant"));
}

#[test]
fn the_papers_set_has_its_name_and_no_note() {
    let folder = tempfile::tempdir().unwrap();
    // More than the 10,000 that are used.
    write_classes(folder.path(), &PAPER, 10_001);
    let config = QuickdrawConfig {
        train_limit: Some(10),
        test_limit: Some(10),
        ..quickdraw(folder.path())
    };
    let splits = load(&config).unwrap();
    assert_eq!((splits.name.as_str(), splits.notes.len()), ("quickdraw", 0));
    assert_eq!(numbers(&*splits.test)[9], (9, (8000 % 256) as u8));
}

#[test]
fn classes_of_different_sizes() {
    let folder = tempfile::tempdir().unwrap();
    for (class, count) in [2usize, 5, 30].into_iter().enumerate() {
        write_npy(
            &folder.path().join(format!("{class}.npy")),
            class as u8,
            count,
        );
    }
    let splits = load(&quickdraw(folder.path())).unwrap();
    let counts = |set: &dyn Dataset| {
        let all = labels(set);
        [0, 1, 2].map(|class| all.iter().filter(|&&label| label == class).count())
    };
    assert_eq!(counts(&*splits.train), [1, 4, 24]);
    assert_eq!(counts(&*splits.test), [1, 1, 6]);
    assert_eq!(labels(&*splits.train)[..8], [0, 1, 2, 1, 2, 1, 2, 1]);
    assert!(
        splits.notes[1].contains("2 to 30 images"),
        "{:?}",
        splits.notes
    );
    // The second and third class fill a limit that the first is too small for.
    let config = QuickdrawConfig {
        train_limit: Some(9),
        ..quickdraw(folder.path())
    };
    assert_eq!(counts(&*load(&config).unwrap().train), [1, 4, 4]);
}

#[test]
fn quickdraw_settings_and_files_that_make_no_sense() {
    let folder = tempfile::tempdir().unwrap();
    write_classes(folder.path(), &["a", "b"], 3);
    let with = |change: fn(&mut QuickdrawConfig)| {
        let mut config = quickdraw(folder.path());
        change(&mut config);
        load(&config).unwrap_err()
    };
    for change in [
        (|config| config.per_class_train = 0) as fn(&mut QuickdrawConfig),
        |config| config.per_class_test = 0,
        |config| config.test_limit = Some(0),
        |config| config.classes = Some(vec![]),
        |config| config.classes = Some(vec!["a".into()]),
        |config| config.classes = Some(vec!["a".into(), "a".into()]),
        |config| config.classes = Some(vec!["a".into(), "../b".into()]),
        |config| config.classes = Some(vec!["a".into(), String::new()]),
    ] {
        let error = with(change);
        assert!(matches!(error, DataError::Setting { .. }), "{error}");
    }
    let error = with(|config| config.classes = Some(vec!["a".into(), "zebra".into()]));
    assert!(error.to_string().contains("zebra.npy"), "{error}");
    // Numbers near the end of 64 bits ask for no memory.
    let config = QuickdrawConfig {
        per_class_train: usize::MAX,
        per_class_test: usize::MAX,
        ..quickdraw(folder.path())
    };
    assert_eq!(
        load(&config).unwrap().train.len() + load(&config).unwrap().test.len(),
        6
    );
    write_npy(&folder.path().join("b.npy"), 1, 1);
    let error = load(&quickdraw(folder.path())).unwrap_err().to_string();
    assert!(
        error.contains("b.npy") && error.contains("too few"),
        "{error}"
    );
    fs::write(folder.path().join("b.npy"), b"\x93NUMPY").unwrap();
    let error = load(&quickdraw(folder.path())).unwrap_err().to_string();
    assert!(error.contains("b.npy"), "{error}");
    fs::remove_file(folder.path().join("b.npy")).unwrap();
    let error = load(&quickdraw(folder.path())).unwrap_err();
    assert!(matches!(error, DataError::NotFound { .. }), "{error}");
}

proptest! {
    #[test]
    fn shares_use_every_image_once(count in 2usize..40, train in 1usize..30, test in 1usize..30) {
        let folder = tempfile::tempdir().unwrap();
        write_classes(folder.path(), &["a", "b"], count);
        let config = QuickdrawConfig {
            per_class_train: train,
            per_class_test: test,
            ..quickdraw(folder.path())
        };
        let splits = load(&config).unwrap();
        let used = count.min(train + test);
        prop_assert_eq!(splits.train.len() + splits.test.len(), 2 * used);
        let mut seen: Vec<u8> = numbers(&*splits.train).into_iter().chain(numbers(&*splits.test)).filter(|image| image.0 == 1).map(|image| image.1).collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..used as u8).collect::<Vec<_>>());
        prop_assert!(splits.test.len() >= 2 && splits.train.len() >= 2);
    }
}
