//! An array of numbers from a MAT file.

use std::path::Path;

use crate::DataError;

/// The type that an array's numbers have in MATLAB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Class {
    Double,
    Single,
    Int8,
    Uint8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Uint64,
}

impl Class {
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            6 => Self::Double,
            7 => Self::Single,
            8 => Self::Int8,
            9 => Self::Uint8,
            10 => Self::Int16,
            11 => Self::Uint16,
            12 => Self::Int32,
            13 => Self::Uint32,
            14 => Self::Int64,
            15 => Self::Uint64,
            _ => return None,
        })
    }
}

/// The type that numbers have in the file: MATLAB writes whole numbers in the narrowest that holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    Int8,
    Uint8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Single,
    Double,
    Int64,
    Uint64,
}

impl Storage {
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::Int8,
            2 => Self::Uint8,
            3 => Self::Int16,
            4 => Self::Uint16,
            5 => Self::Int32,
            6 => Self::Uint32,
            7 => Self::Single,
            9 => Self::Double,
            12 => Self::Int64,
            13 => Self::Uint64,
            _ => return None,
        })
    }

    /// Bytes of one number.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::Int8 | Self::Uint8 => 1,
            Self::Int16 | Self::Uint16 => 2,
            Self::Int32 | Self::Uint32 | Self::Single => 4,
            Self::Double | Self::Int64 | Self::Uint64 => 8,
        }
    }

    /// A number from its bytes in big-endian order, right-aligned.
    fn value(self, word: [u8; 8]) -> f64 {
        let all = u64::from_be_bytes(word);
        match self {
            Self::Int8 => f64::from(all as i8),
            Self::Uint8 => f64::from(all as u8),
            Self::Int16 => f64::from(all as i16),
            Self::Uint16 => f64::from(all as u16),
            Self::Int32 => f64::from(all as i32),
            Self::Uint32 => f64::from(all as u32),
            Self::Single => f64::from(f32::from_bits(all as u32)),
            Self::Double => f64::from_bits(all),
            Self::Int64 => all as i64 as f64,
            Self::Uint64 => all as f64,
        }
    }
}

/// An array of real numbers. The first dimension runs fastest, as in Fortran and unlike in NumPy.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// The variable's name.
    pub name: String,
    /// The type of its numbers in MATLAB.
    pub class: Class,
    /// Two or more sides. MATLAB drops a last side of 1 beyond the second.
    pub dimensions: Vec<usize>,
    storage: Storage,
    big_endian: bool,
    bytes: Vec<u8>,
}

impl Array {
    pub(crate) fn new(
        name: String,
        class: Class,
        dimensions: Vec<usize>,
        storage: Storage,
        big_endian: bool,
        bytes: Vec<u8>,
    ) -> Self {
        Self {
            name,
            class,
            dimensions,
            storage,
            big_endian,
            bytes,
        }
    }

    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / self.storage.bytes() as usize
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The values in the file's order; 64-bit integers beyond 2^53 are rounded.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        let size = self.storage.bytes() as usize;
        self.bytes.chunks_exact(size).map(move |number| {
            let mut word = [0; 8];
            let (_, end) = word.split_at_mut(8 - size);
            for (index, slot) in end.iter_mut().enumerate() {
                let at = if self.big_endian {
                    index
                } else {
                    size - 1 - index
                };
                *slot = number.get(at).copied().unwrap_or_default();
            }
            self.storage.value(word)
        })
    }

    /// The values as bytes, without a copy where the file holds bytes. `path` is what errors call the file.
    ///
    /// # Errors
    /// [`DataError::Format`] for a value that is no whole number from 0 to 255.
    pub fn into_bytes(self, path: &Path) -> Result<Vec<u8>, DataError> {
        if self.storage == Storage::Uint8 {
            return Ok(self.bytes);
        }
        let byte = |(index, value): (usize, f64)| {
            if value.fract() == 0.0 && (0.0..=255.0).contains(&value) {
                Ok(value as u8)
            } else {
                Err(DataError::format(
                    path,
                    format!(
                        "value {index} of its variable `{}` is {value}, no whole number from 0 to 255",
                        self.name
                    ),
                ))
            }
        };
        self.values().enumerate().map(byte).collect()
    }
}
