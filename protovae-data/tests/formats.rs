//! The readers of IDX and CIFAR files: round trips, and files that lie.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use protovae_data::idx::{parse_images, parse_labels, read_images};
use protovae_data::{DataError, Dataset, cifar};

fn name() -> &'static Path {
    Path::new("made-up")
}

fn header(magic: u32, dimensions: &[u32]) -> Vec<u8> {
    let mut bytes = magic.to_be_bytes().to_vec();
    for dimension in dimensions {
        bytes.extend(dimension.to_be_bytes());
    }
    bytes
}

fn images_file(count: u32, height: u32, width: u32, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = header(0x0803, &[count, height, width]);
    bytes.extend(pixels);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn small_images() -> impl Strategy<Value = (u32, u32, u32, Vec<u8>)> {
    (1u32..6, 1u32..6, 1u32..6).prop_flat_map(|(count, height, width)| {
        let length = (count * height * width) as usize;
        (
            Just(count),
            Just(height),
            Just(width),
            prop::collection::vec(any::<u8>(), length),
        )
    })
}

proptest! {
    #[test]
    fn images_come_back(input in small_images(), packed: bool) {
        let (count, height, width, pixels) = input;
        let plain = images_file(count, height, width, &pixels);
        let file = if packed { gzip(&plain) } else { plain };
        let found = parse_images(&file, name()).unwrap();
        prop_assert_eq!((found.count, found.height, found.width), (count as usize, height as usize, width as usize));
        prop_assert_eq!(found.pixels, pixels);
    }

    #[test]
    fn labels_come_back(labels in prop::collection::vec(0u8..10, 1..50), packed: bool) {
        let mut plain = header(0x0801, &[labels.len() as u32]);
        plain.extend(&labels);
        let file = if packed { gzip(&plain) } else { plain };
        prop_assert_eq!(parse_labels(&file, name(), 10).unwrap(), labels);
    }

    #[test]
    fn a_truncated_file_is_an_error(input in small_images(), packed: bool, cut in 0.0f64..1.0) {
        let (count, height, width, pixels) = input;
        let plain = images_file(count, height, width, &pixels);
        let file = if packed { gzip(&plain) } else { plain };
        let keep = (file.len() as f64 * cut) as usize;
        prop_assert!(parse_images(&file[..keep], name()).is_err());
    }

    #[test]
    fn a_longer_file_is_an_error(input in small_images(), packed: bool, extra in prop::collection::vec(any::<u8>(), 1..9)) {
        let (count, height, width, pixels) = input;
        let mut plain = images_file(count, height, width, &pixels);
        plain.extend(extra);
        let file = if packed { gzip(&plain) } else { plain };
        let error = parse_images(&file, name()).unwrap_err();
        let too_long = matches!(error, DataError::Length { more: true, .. });
        prop_assert!(too_long, "{}", error);
    }

    #[test]
    fn corruption_never_gives_a_wrong_length(
        input in small_images(), packed: bool, at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let (count, height, width, pixels) = input;
        let plain = images_file(count, height, width, &pixels);
        let mut file = if packed { gzip(&plain) } else { plain };
        let at = at.index(file.len());
        file[at] = byte;
        if let Ok(found) = parse_images(&file, name()) {
            prop_assert_eq!(found.pixels.len(), found.count * found.height * found.width);
            prop_assert_eq!(found.pixels.len(), pixels.len());
        }
        let _ = parse_labels(&file, name(), 10);
    }

    #[test]
    fn noise_is_never_accepted_as_another_length(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let file = [header(0x0803, &[]), bytes].concat();
        if let Ok(found) = parse_images(&file, name()) {
            prop_assert_eq!(found.pixels.len() + 16, file.len());
        }
    }

    #[test]
    fn cifar_records_come_back(labels in prop::collection::vec(0u8..10, 1..4), first: u8) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data_batch_1.bin");
        let mut bytes = Vec::new();
        for &label in &labels {
            bytes.push(label);
            bytes.extend((0..3072).map(|position: u32| first.wrapping_add(position as u8)));
        }
        fs::write(&path, &bytes).unwrap();
        let set = cifar::read_files(&[&path, &path], None).unwrap();
        prop_assert_eq!(set.len(), 2 * labels.len());
        for (index, &label) in labels.iter().enumerate() {
            prop_assert_eq!(set.label(index).unwrap(), usize::from(label));
            prop_assert_eq!(set.bytes(index).unwrap()[1], first.wrapping_add(1));
        }
        prop_assert_eq!(cifar::read_files(&[&path, &path], Some(1)).unwrap().len(), 1);
    }
}

#[test]
fn headers_near_the_end_of_32_bits() {
    let max = u32::MAX;
    // The products overflow 32, 64 and no bits; none may be allocated.
    for dimensions in [
        [max, max, max],
        [max, 28, 28],
        [max, 1, 1],
        [65_536, 65_536, 1],
        [1 << 31, 2, 1 << 31],
        [5_000_000, 28, 28],
    ] {
        let file = [header(0x0803, &dimensions), vec![0; 784]].concat();
        for file in [gzip(&file), file] {
            let error = parse_images(&file, name()).unwrap_err();
            assert!(
                matches!(error, DataError::Format { .. } | DataError::Length { .. }),
                "{error}"
            );
        }
    }
    let labels = header(0x0801, &[max]);
    assert!(parse_labels(&labels, name(), 10).is_err());
    assert!(parse_labels(&gzip(&labels), name(), 10).is_err());
}

#[test]
fn empty_dimensions_are_refused() {
    for dimensions in [[0, 28, 28], [1, 0, 28], [1, 28, 0]] {
        let error = parse_images(&header(0x0803, &dimensions), name()).unwrap_err();
        assert!(error.to_string().contains("nothing"), "{error}");
    }
}

#[test]
fn a_gzip_bomb_stops_at_the_declared_length() {
    // 64 MiB of zeros after a header that declares 4 bytes.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&header(0x0803, &[1, 2, 2])).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..64 {
        encoder.write_all(&zeros).unwrap();
    }
    let error = parse_images(&encoder.finish().unwrap(), name()).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::Length {
                expected: 4,
                found: 4,
                more: true,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_wrong_magic_number_is_named() {
    let labels = [header(0x0801, &[1]), vec![3]].concat();
    let message = parse_images(&labels, name()).unwrap_err().to_string();
    assert!(
        message.contains("0x00000803") && message.contains("0x00000801"),
        "{message}"
    );
    for short in [&b""[..], b"\0", b"\0\0\x08", b"\x1f\x8b"] {
        assert!(parse_images(short, name()).is_err());
    }
    assert!(parse_images(b"<!DOCTYPE html><html></html>", name()).is_err());
}

#[test]
fn a_label_out_of_range_is_named_with_its_index() {
    let file = [header(0x0801, &[3]), vec![0, 9, 10]].concat();
    let error = parse_labels(&file, name(), 10).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::LabelOutOfRange {
                index: 2,
                label: 10,
                classes: 10,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn members_of_a_gzip_file_are_joined_and_junk_is_refused() {
    let file = images_file(1, 1, 2, &[5, 6]);
    let joined = [gzip(&file[..7]), gzip(&file[7..])].concat();
    assert_eq!(parse_images(&joined, name()).unwrap().pixels, [5, 6]);
    let junk = [gzip(&file), b"junk".to_vec()].concat();
    assert!(parse_images(&junk, name()).is_err());
}

#[test]
fn a_folder_or_nothing_in_place_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    assert!(read_images(folder.path()).is_err());
    let missing = folder.path().join("absent");
    let error = read_images(&missing).unwrap_err();
    assert!(error.to_string().contains("absent"), "{error}");
}

#[test]
fn cifar_files_that_lie() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("batch.bin");
    for length in [0, 1, cifar::RECORD - 1, cifar::RECORD + 1] {
        fs::write(&path, vec![0; length]).unwrap();
        let error = cifar::read_files(&[&path], None).unwrap_err();
        assert!(matches!(error, DataError::Format { .. }), "{error}");
    }
    let mut bytes = vec![0; 2 * cifar::RECORD];
    bytes[cifar::RECORD] = 10;
    fs::write(&path, &bytes).unwrap();
    let error = cifar::read_files(&[&path], None).unwrap_err();
    assert!(
        matches!(error, DataError::LabelOutOfRange { index: 1, .. }),
        "{error}"
    );
    fs::write(&path, gzip(&bytes)).unwrap();
    let error = cifar::read_files(&[&path], None).unwrap_err();
    assert!(error.to_string().contains("gzipped"), "{error}");
}

#[test]
fn cifar_class_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("batches.meta.txt");
    fs::write(&path, cifar::CLASS_NAMES.join("\r\n") + "\n\n").unwrap();
    assert_eq!(
        cifar::read_class_names(&path).unwrap(),
        cifar::CLASS_NAMES.map(str::to_string)
    );
    fs::write(&path, "one\ntwo\n").unwrap();
    assert!(cifar::read_class_names(&path).is_err());
    fs::write(&path, [0xff; 20]).unwrap();
    assert!(cifar::read_class_names(&path).is_err());
}
