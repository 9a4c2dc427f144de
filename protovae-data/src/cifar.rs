//! The binary version of CIFAR-10: records of a label byte and 3,072 bytes of red, green and blue planes.

use std::path::Path;

use crate::bounded::{Source, read_exactly, read_up_to};
pub use crate::cifar_archive::{CifarArchive, parse_archive, read_archive};
use crate::{DataError, ImageShape, InMemoryDataset};

/// The shape of a CIFAR image.
pub const SHAPE: ImageShape = ImageShape::new(3, 32, 32);

/// The number of classes.
pub const CLASSES: usize = 10;

/// Bytes of one record: the label and the planes.
pub const RECORD: usize = 1 + 3 * 32 * 32;

/// Files beyond this length are refused: the published ones have 30,730,000 bytes.
const MAX_BYTES: u64 = 1 << 30;

/// Far beyond any list of ten names.
pub(crate) const MAX_META: u64 = 1 << 16;

/// The class names of the publisher, in the order of the labels.
pub const CLASS_NAMES: [&str; CLASSES] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// Reads files of records, in order, as one set; of more than `limit` images the first `limit` are kept.
///
/// # Errors
/// [`DataError::Read`]; [`DataError::Format`] for a length that is no positive multiple of [`RECORD`];
/// [`DataError::LabelOutOfRange`] with the record's index in its file.
pub fn read_files(
    paths: &[impl AsRef<Path>],
    limit: Option<usize>,
) -> Result<InMemoryDataset, DataError> {
    let limit = limit.unwrap_or(usize::MAX);
    let mut pixels = Vec::new();
    let mut labels: Vec<u16> = Vec::new();
    for path in paths {
        if labels.len() >= limit {
            break;
        }
        read_file(path.as_ref(), limit, &mut pixels, &mut labels)?;
    }
    InMemoryDataset::new(SHAPE, pixels, labels)
}

/// As [`read_files`] from the bytes of one file; `name` is what errors call them.
///
/// # Errors
/// As [`read_files`].
///
/// ```
/// use protovae_data::{Dataset, cifar};
///
/// let mut record = vec![0; cifar::RECORD];
/// record[0] = 9;
/// let set = cifar::parse_records(&record, "example".as_ref())?;
/// assert_eq!((set.len(), set.label(0)?), (1, 9));
/// # Ok::<(), protovae_data::DataError>(())
/// ```
pub fn parse_records(bytes: &[u8], name: &Path) -> Result<InMemoryDataset, DataError> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    append(bytes, name, usize::MAX, &mut pixels, &mut labels)?;
    InMemoryDataset::new(SHAPE, pixels, labels)
}

fn read_file(
    path: &Path,
    limit: usize,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u16>,
) -> Result<(), DataError> {
    let mut source = Source::open(path)?;
    let length = source
        .length
        .ok_or_else(|| DataError::format(path, "it is gzipped; unpack the archive first"))?;
    check_length(length, path)?;
    let bytes = read_exactly(&mut source, length, 0, path)?;
    append(&bytes, path, limit, pixels, labels)
}

pub(crate) fn check_length(length: u64, path: &Path) -> Result<(), DataError> {
    if length == 0 || !length.is_multiple_of(RECORD as u64) || length > MAX_BYTES {
        return Err(DataError::format(
            path,
            format!(
                "it has {length} bytes; a CIFAR-10 file is one record of {RECORD} bytes after the other, {MAX_BYTES} at most"
            ),
        ));
    }
    Ok(())
}

/// Adds the images of a file until there are `limit`.
pub(crate) fn append(
    bytes: &[u8],
    path: &Path,
    limit: usize,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u16>,
) -> Result<(), DataError> {
    check_length(bytes.len() as u64, path)?;
    for (index, record) in bytes.chunks_exact(RECORD).enumerate() {
        if labels.len() >= limit {
            break;
        }
        let label = usize::from(record[0]);
        if label >= CLASSES {
            return Err(DataError::LabelOutOfRange {
                path: path.to_path_buf(),
                index,
                label,
                classes: CLASSES,
            });
        }
        labels.push(u16::from(record[0]));
        pixels.extend_from_slice(&record[1..]);
    }
    Ok(())
}

/// Reads `batches.meta.txt`: the class names, one a line.
///
/// # Errors
/// [`DataError::Format`] unless there are exactly ten names in UTF-8.
pub fn read_class_names(path: &Path) -> Result<Vec<String>, DataError> {
    let mut source = Source::open(path)?;
    // What is cut off shows as a wrong number of names or as broken UTF-8.
    class_names(read_up_to(&mut *source.reader, MAX_META, path)?, path)
}

pub(crate) fn class_names(bytes: Vec<u8>, path: &Path) -> Result<Vec<String>, DataError> {
    let text = String::from_utf8(bytes).map_err(|error| DataError::format(path, error))?;
    let names: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_string)
        .collect();
    if names.len() != CLASSES {
        return Err(DataError::format(
            path,
            format!("it lists {} class names, not {CLASSES}", names.len()),
        ));
    }
    Ok(names)
}
