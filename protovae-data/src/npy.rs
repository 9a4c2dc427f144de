//! NumPy's `.npy` files of bytes: versions 1 to 3, type `|u1`, any number of dimensions.
//!
//! A file is the magic `\x93NUMPY`, two bytes of version, the length of a header (2 bytes in version 1, else 4,
//! little-endian), the header, which is a Python dictionary in text, and then the values.

use std::path::{Path, PathBuf};

use crate::DataError;
use crate::bounded::{Source, read_exactly, read_up_to};
use crate::npy_header;

/// Files that declare more data than this are refused: 4 GiB.
pub const MAX_BYTES: u64 = 1 << 32;

/// NumPy itself refuses headers beyond 10,000 bytes.
const MAX_HEADER: u64 = 10_000;

/// An open file, of which the header has been read.
///
/// ```
/// use protovae_data::npy::NpyReader;
///
/// let text = "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2), }\n";
/// let mut file = b"\x93NUMPY\x01\x00".to_vec();
/// file.extend([text.len() as u8, 0]);
/// file.extend(text.as_bytes());
/// file.extend([1, 2, 3, 4, 5, 6]);
/// let reader = NpyReader::from_bytes(&file, "example".as_ref())?;
/// assert_eq!(reader.shape(), [3, 2]);
/// assert_eq!(reader.first_rows(2)?, [1, 2, 3, 4]);
/// # Ok::<(), protovae_data::DataError>(())
/// ```
pub struct NpyReader<'a> {
    source: Source<'a>,
    path: PathBuf,
    shape: Vec<usize>,
    /// Bytes before the values.
    consumed: u64,
    /// Bytes of all values.
    length: u64,
}

impl std::fmt::Debug for NpyReader<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("NpyReader")
            .field("path", &self.path)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl NpyReader<'static> {
    /// Opens a file and reads its header. A gzipped one is unpacked as it is read.
    ///
    /// # Errors
    /// [`DataError::Read`]; [`DataError::Format`] for a file that is no `.npy`, holds other values than bytes, has them in
    /// Fortran's order or declares more than [`MAX_BYTES`]; [`DataError::Length`] for one that is shorter or longer than its
    /// header declares (not seen yet where it is gzipped).
    pub fn open(path: &Path) -> Result<Self, DataError> {
        Self::new(Source::open(path)?, path)
    }
}

impl<'a> NpyReader<'a> {
    /// As [`NpyReader::open`] from bytes; `name` is what errors call them.
    ///
    /// # Errors
    /// As [`NpyReader::open`].
    pub fn from_bytes(bytes: &'a [u8], name: &Path) -> Result<Self, DataError> {
        Self::new(Source::new(bytes, bytes.len() as u64, name)?, name)
    }

    fn new(mut source: Source<'a>, path: &Path) -> Result<Self, DataError> {
        let mut consumed = 0;
        let mut take = |length: u64| -> Result<Vec<u8>, DataError> {
            let bytes = read_up_to(&mut *source.reader, length, path)?;
            if bytes.len() as u64 != length {
                return Err(DataError::format(
                    path,
                    "it ends within its header; fetch it again",
                ));
            }
            consumed += length;
            Ok(bytes)
        };
        let wrong = || DataError::format(path, "it does not begin with \\x93NUMPY: no .npy file");
        let magic = take(8).map_err(|error| match error {
            DataError::Format { .. } => wrong(),
            other => other,
        })?;
        let [b'\x93', b'N', b'U', b'M', b'P', b'Y', major, minor] = *magic.as_slice() else {
            return Err(wrong());
        };
        let digits = match (major, minor) {
            (1, 0) => 2,
            (2 | 3, 0) => 4,
            _ => {
                return Err(DataError::format(
                    path,
                    format!("its version {major}.{minor} is not known; 1.0 to 3.0 are"),
                ));
            }
        };
        let declared = take(digits)?
            .iter()
            .rev()
            .fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
        if declared > MAX_HEADER {
            return Err(DataError::format(
                path,
                format!("its header declares {declared} bytes, over {MAX_HEADER}"),
            ));
        }
        let header = take(declared)?;
        let shape = npy_header::shape(&header).map_err(|reason| DataError::format(path, reason))?;
        let length = shape
            .iter()
            .try_fold(1u64, |product, &side| product.checked_mul(side))
            .filter(|&product| product <= MAX_BYTES && usize::try_from(product).is_ok());
        // A side beside a 0 may be anything.
        let sides: Option<Vec<usize>> = shape.iter().map(|&side| side.try_into().ok()).collect();
        let (Some(length), Some(sides)) = (length, sides) else {
            return Err(DataError::format(
                path,
                format!(
                    "its header declares the shape {shape:?}, more than the {MAX_BYTES} bytes that are read"
                ),
            ));
        };
        if let Some(total) = source.length {
            let found = total.saturating_sub(consumed);
            if found != length {
                return Err(DataError::Length {
                    path: path.to_path_buf(),
                    expected: length,
                    found,
                    more: found > length,
                });
            }
        }
        Ok(Self {
            source,
            path: path.to_path_buf(),
            shape: sides,
            consumed,
            length,
        })
    }

    /// The sides, slowest first; none for a single value.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All values, the last dimension fastest.
    ///
    /// # Errors
    /// [`DataError::Read`], [`DataError::Format`] and [`DataError::Length`] as for [`NpyReader::open`].
    pub fn values(mut self) -> Result<Vec<u8>, DataError> {
        read_exactly(&mut self.source, self.length, self.consumed, &self.path)
    }

    /// The values of the first `rows` along the first dimension; the rest is not read.
    ///
    /// # Errors
    /// As [`NpyReader::values`], and [`DataError::IndexOutOfRange`] for more rows than there are.
    pub fn first_rows(mut self, rows: usize) -> Result<Vec<u8>, DataError> {
        let all = self.shape.first().copied().unwrap_or(1);
        if rows > all {
            return Err(DataError::IndexOutOfRange {
                index: rows - 1,
                len: all,
            });
        }
        // `all` divides the length, so this is at most the length.
        let length = (self.length / (all as u64).max(1)).saturating_mul(rows as u64);
        let bytes = read_up_to(&mut *self.source.reader, length, &self.path)?;
        let found = bytes.len() as u64;
        if found != length {
            return Err(DataError::Length {
                path: self.path,
                expected: self.length,
                found,
                more: false,
            });
        }
        Ok(bytes)
    }
}
