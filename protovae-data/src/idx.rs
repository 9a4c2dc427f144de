//! The IDX format of MNIST and its kin, plain or gzipped.
//!
//! An IDX file is a magic number (two zero bytes, 8 for unsigned bytes, the number of dimensions), each dimension as a
//! big-endian u32, then the bytes. Whether a file is gzipped shows in its first bytes; names do not matter here.

use std::path::Path;

use crate::bounded::{Source, read_exactly, read_up_to};
use crate::{DataError, ImageShape, InMemoryDataset};

/// Files that declare more data than this are refused: 4 GiB, about 5 million images of MNIST's size.
pub const MAX_BYTES: u64 = 1 << 32;

/// The images of an IDX file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxImages {
    /// Number of images.
    pub count: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// `count * height * width` bytes, image by image, row by row.
    pub pixels: Vec<u8>,
}

/// Reads a file of images (`idx3-ubyte`).
///
/// # Errors
/// [`DataError::Read`], [`DataError::Format`] for another magic number, a dimension of 0 or a damaged gzip stream,
/// [`DataError::Length`] for fewer or more bytes than the header declares.
pub fn read_images(path: &Path) -> Result<IdxImages, DataError> {
    images(Source::open(path)?, path)
}

/// Reads a file of labels (`idx1-ubyte`), each of which must be below `classes`.
///
/// # Errors
/// As [`read_images`], and [`DataError::LabelOutOfRange`] with the index of the first label without a class.
pub fn read_labels(path: &Path, classes: usize) -> Result<Vec<u8>, DataError> {
    labels(Source::open(path)?, path, classes)
}

/// As [`read_images`] from bytes; `name` is what errors call them.
///
/// # Errors
/// As [`read_images`].
///
/// ```
/// use protovae_data::idx::parse_images;
///
/// let file = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 10, 20];
/// assert_eq!(parse_images(&file, "example".as_ref())?.pixels, [10, 20]);
/// assert!(parse_images(&file[..17], "example".as_ref()).is_err());
/// # Ok::<(), protovae_data::DataError>(())
/// ```
pub fn parse_images(bytes: &[u8], name: &Path) -> Result<IdxImages, DataError> {
    images(Source::new(bytes, bytes.len() as u64, name)?, name)
}

/// As [`read_labels`] from bytes; `name` is what errors call them.
///
/// # Errors
/// As [`read_labels`].
pub fn parse_labels(bytes: &[u8], name: &Path, classes: usize) -> Result<Vec<u8>, DataError> {
    labels(Source::new(bytes, bytes.len() as u64, name)?, name, classes)
}

/// Joins images and labels to a set of grey images; of more than `limit` images the first `limit` are kept.
///
/// # Errors
/// [`DataError::CountMismatch`] where their numbers differ.
pub(crate) fn join(
    images: (IdxImages, &Path),
    labels: (Vec<u8>, &Path),
    limit: Option<usize>,
) -> Result<InMemoryDataset, DataError> {
    let (mut images, images_path) = images;
    let (mut labels, labels_path) = labels;
    if images.count != labels.len() {
        return Err(DataError::CountMismatch {
            images_path: images_path.to_path_buf(),
            images: images.count,
            labels_path: labels_path.to_path_buf(),
            labels: labels.len(),
        });
    }
    let shape = ImageShape::new(1, images.height, images.width);
    if let Some(limit) = limit.filter(|&limit| limit < labels.len()) {
        labels.truncate(limit);
        images.pixels.truncate(limit.saturating_mul(shape.pixels()));
        images.pixels.shrink_to_fit();
    }
    InMemoryDataset::new(
        shape,
        images.pixels,
        labels.into_iter().map(u16::from).collect(),
    )
}

fn images(mut source: Source<'_>, path: &Path) -> Result<IdxImages, DataError> {
    let [count, height, width] = header::<3>(&mut source, path)?;
    let pixels = payload(&mut source, &[count, height, width], path)?;
    // The payload has this product as its length, so each factor fits a usize.
    Ok(IdxImages {
        count: count as usize,
        height: height as usize,
        width: width as usize,
        pixels,
    })
}

fn labels(mut source: Source<'_>, path: &Path, classes: usize) -> Result<Vec<u8>, DataError> {
    let [count] = header::<1>(&mut source, path)?;
    let labels = payload(&mut source, &[count], path)?;
    match labels
        .iter()
        .position(|&label| usize::from(label) >= classes)
    {
        Some(index) => Err(DataError::LabelOutOfRange {
            path: path.to_path_buf(),
            index,
            label: usize::from(labels[index]),
            classes,
        }),
        None => Ok(labels),
    }
}

/// The dimensions, after a check of the magic number.
fn header<const N: usize>(source: &mut Source<'_>, path: &Path) -> Result<[u32; N], DataError> {
    let length = 4 + 4 * N as u64;
    let bytes = read_up_to(&mut *source.reader, length, path)?;
    let mut words = bytes.chunks_exact(4).map(|word| {
        word.iter()
            .fold(0u32, |sum, &byte| sum << 8 | u32::from(byte))
    });
    let wanted = 0x0800 + N as u32;
    let magic = words.next();
    if magic != Some(wanted) {
        let found = magic.map_or("nothing".to_string(), |magic| format!("{magic:#010x}"));
        let meant = if N == 3 { "images" } else { "labels" };
        return Err(DataError::format(
            path,
            format!("an IDX file of {meant} begins with {wanted:#010x}, this one with {found}"),
        ));
    }
    let mut dimensions = [0; N];
    for dimension in &mut dimensions {
        *dimension = words
            .next()
            .ok_or_else(|| DataError::format(path, "its header is truncated"))?;
    }
    Ok(dimensions)
}

fn payload(source: &mut Source<'_>, dimensions: &[u32], path: &Path) -> Result<Vec<u8>, DataError> {
    let product = dimensions
        .iter()
        .try_fold(1u64, |product, &dimension| {
            product.checked_mul(u64::from(dimension))
        })
        .filter(|&product| product <= MAX_BYTES && usize::try_from(product).is_ok());
    let declared = || {
        let dimensions: Vec<String> = dimensions.iter().map(u32::to_string).collect();
        dimensions.join(" × ")
    };
    match product {
        None => Err(DataError::format(
            path,
            format!(
                "its header declares {} bytes, more than the {MAX_BYTES} that are read",
                declared()
            ),
        )),
        Some(0) => Err(DataError::format(
            path,
            format!("its header declares {} bytes: nothing", declared()),
        )),
        Some(product) => read_exactly(source, product, 4 + 4 * dimensions.len() as u64, path),
    }
}
