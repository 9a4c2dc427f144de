//! One function for each reader, from bytes to whether it took them, for `tests/corpus.rs` and for the fuzzer.
//!
//! Each asserts what must hold of anything that was read.

use std::path::Path;

use protovae_data::archive::Archive;
use protovae_data::{
    DataError, Dataset, ImageShape, InMemoryDataset, celeba, cifar, idx, mat, npy, picture,
};

/// A reader by the name of its folder in the corpus.
pub type Reader = fn(&[u8]) -> Result<(), DataError>;

/// All readers.
#[allow(dead_code)]
pub const READERS: [(&str, Reader); 9] = [
    ("archive", archive),
    ("celeba_attributes", celeba_attributes),
    ("cifar_archive", cifar_archive),
    ("cifar_records", cifar_records),
    ("idx_images", idx_images),
    ("idx_labels", idx_labels),
    ("mat", mat_arrays),
    ("npy", npy_values),
    ("picture", picture_values),
];

fn name() -> &'static Path {
    Path::new("made-up")
}

pub fn idx_images(bytes: &[u8]) -> Result<(), DataError> {
    let found = idx::parse_images(bytes, name())?;
    assert_eq!(found.pixels.len(), found.count * found.height * found.width);
    assert!(!found.pixels.is_empty());
    Ok(())
}

pub fn idx_labels(bytes: &[u8]) -> Result<(), DataError> {
    let found = idx::parse_labels(bytes, name(), 10)?;
    assert!(!found.is_empty() && found.iter().all(|&label| label < 10));
    Ok(())
}

fn check_cifar(set: &InMemoryDataset) -> Result<(), DataError> {
    assert!(!set.is_empty());
    assert_eq!(set.shape(), cifar::SHAPE);
    for index in 0..set.len() {
        assert!(set.label(index)? < cifar::CLASSES);
        assert_eq!(set.bytes(index)?.len(), 3072);
    }
    Ok(())
}

pub fn cifar_records(bytes: &[u8]) -> Result<(), DataError> {
    check_cifar(&cifar::parse_records(bytes, name())?)
}

pub fn cifar_archive(bytes: &[u8]) -> Result<(), DataError> {
    let found = cifar::parse_archive(bytes, name(), None, Some(1))?;
    check_cifar(&found.train)?;
    check_cifar(&found.test)?;
    assert_eq!(found.test.len(), 1);
    assert!(found.train.len() >= 5);
    assert!(found.classes.is_none_or(|names| names.len() == 10));
    Ok(())
}

pub fn mat_arrays(bytes: &[u8]) -> Result<(), DataError> {
    // What is not wanted is passed over, which is another way through the file.
    let some = mat::parse_arrays(bytes, name(), Some(&["X", "y"]));
    let all = mat::parse_arrays(bytes, name(), None)?;
    for array in some.iter().flatten() {
        assert!(all.iter().any(|other| other.name == array.name));
    }
    for array in all {
        let product: usize = array.dimensions.iter().product();
        assert_eq!(array.len(), product);
        assert_eq!(array.values().count(), product);
        if let Ok(values) = array.into_bytes(name()) {
            assert_eq!(values.len(), product);
        }
    }
    Ok(())
}

pub fn npy_values(bytes: &[u8]) -> Result<(), DataError> {
    let reader = npy::NpyReader::from_bytes(bytes, name())?;
    let shape = reader.shape().to_vec();
    let values = reader.values()?;
    assert_eq!(values.len(), shape.iter().product::<usize>());
    if let Some(&rows) = shape.first() {
        let half = npy::NpyReader::from_bytes(bytes, name())?.first_rows(rows / 2)?;
        assert!(values.starts_with(&half));
        assert!(
            npy::NpyReader::from_bytes(bytes, name())?
                .first_rows(rows.saturating_add(1))
                .is_err()
        );
    }
    Ok(())
}

pub fn picture_values(bytes: &[u8]) -> Result<(), DataError> {
    for channels in [1, 3] {
        let shape = ImageShape::new(channels, 8, 6);
        let values = picture::parse_picture(bytes, name(), shape)?;
        assert_eq!(values.len(), shape.pixels());
        assert!(values.iter().all(|value| (-1.0..=1.0).contains(value)));
    }
    Ok(())
}

pub fn celeba_attributes(bytes: &[u8]) -> Result<(), DataError> {
    let faces = celeba::parse_attributes(bytes, name(), "Male")?;
    for index in 0..faces.len() {
        let file = faces.file(index).unwrap_or_default();
        assert!(!file.is_empty() && !file.contains('/'));
        assert!(faces.has(index).is_some());
    }
    assert!(faces.has(faces.len()).is_none());
    Ok(())
}

pub fn archive(bytes: &[u8]) -> Result<(), DataError> {
    let archive = Archive::from_bytes(bytes.to_vec(), name())?;
    for index in 0..archive.len() {
        let member = archive.name(index).unwrap_or_default();
        assert!(!member.split('/').any(|part| part == ".."), "{member}");
        assert_eq!(archive.find(member), Some(index));
        // Large ones are left to the test of bombs: sixty at once would only fill the fuzzer's memory.
        if archive
            .declared_length(index)
            .is_some_and(|length| length < 1 << 20)
        {
            let data = archive.read(index)?;
            assert_eq!(Some(data.len() as u64), archive.declared_length(index));
            let _ = picture_values(&data);
        }
    }
    Ok(())
}
