//! MATLAB's MAT files of version 5 (`save -v6` and `-v7`), as far as arrays of numbers go.
//!
//! A file is a header of 128 bytes and then elements, each a type, a length and its data; a variable is one element, packed
//! by zlib or not. Both byte orders are read, and numbers stored in a narrower type than their array's. Variables that are
//! no arrays of real numbers (text, cells, structs, sparse and complex ones) are passed over.

use std::collections::HashSet;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::ZlibDecoder;

use crate::DataError;
use crate::bounded::{Source, read_up_to};
use crate::mat_array::Storage;
pub use crate::mat_array::{Array, Class};

/// Files whose arrays have more bytes than this together are refused: 4 GiB.
pub const MAX_BYTES: u64 = 1 << 32;

const HEADER: u64 = 128;

/// MATLAB allows 63 letters; what is far beyond is no name.
const MAX_NAME: u64 = 1024;

const MAX_DIMENSIONS: u64 = 32;

/// Deflate packs no better than this.
const MAX_RATIO: u64 = 1032;

const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
const UTF8: u32 = 16;

/// Array classes 1 to 15 begin with flags, dimensions and a name; those beyond are laid out in undocumented ways.
const LAST_CLASS: u32 = 15;
const COMPLEX: u32 = 0x0800;

/// Reads the arrays of a file: those called as in `wanted`, or all of them.
///
/// A wanted variable that the file does not have is not in the answer. What is not wanted is not kept in memory, and not
/// unpacked beyond its name.
///
/// # Errors
/// [`DataError::Read`]; [`DataError::Format`] for a file that is no MAT file, is truncated or contradicts itself, has two
/// variables of one name, a wanted variable that is no array of real numbers, or more than [`MAX_BYTES`] of data;
/// [`DataError::Unsupported`] for a file of version 7.3, which is HDF5.
pub fn read_arrays(path: &Path, wanted: Option<&[&str]>) -> Result<Vec<Array>, DataError> {
    arrays(Source::open(path)?, path, wanted)
}

/// As [`read_arrays`] from bytes; `name` is what errors call them.
///
/// # Errors
/// As [`read_arrays`].
///
/// ```
/// let error = protovae_data::mat::parse_arrays(b"MATLAB 5.0", "a.mat".as_ref(), None).unwrap_err();
/// assert!(error.to_string().contains("a.mat"));
/// ```
pub fn parse_arrays(
    bytes: &[u8],
    name: &Path,
    wanted: Option<&[&str]>,
) -> Result<Vec<Array>, DataError> {
    arrays(Source::new(bytes, bytes.len() as u64, name)?, name, wanted)
}

fn arrays(
    mut source: Source<'_>,
    path: &Path,
    wanted: Option<&[&str]>,
) -> Result<Vec<Array>, DataError> {
    let big_endian = header(&mut source, path)?;
    let mut file = Elements {
        reader: &mut *source.reader,
        left: source
            .length
            .map_or(u64::MAX, |length| length.saturating_sub(HEADER)),
        big_endian,
        path,
    };
    let mut found = Vec::new();
    let mut names = HashSet::new();
    let mut budget = MAX_BYTES;
    while let Some(element) = file.next()? {
        let array = match element.kind {
            COMPRESSED => file.packed(element.length, wanted, &mut budget)?,
            MATRIX => {
                file.check(element.length)?;
                let mut inside = Elements {
                    reader: &mut *file.reader,
                    left: element.length,
                    ..file
                };
                let array = inside.array(wanted, &mut budget)?;
                let rest = inside.left;
                inside.skip(rest)?;
                file.left = file.left.saturating_sub(element.length);
                array
            }
            _ => {
                file.pass_over(&element)?;
                None
            }
        };
        if let Some(array) = array {
            if !names.insert(array.name.clone()) {
                return Err(DataError::format(
                    path,
                    format!("two of its variables are called `{}`", array.name),
                ));
            }
            found.push(array);
        }
    }
    Ok(found)
}

/// Whether the file is big-endian.
fn header(source: &mut Source<'_>, path: &Path) -> Result<bool, DataError> {
    let bytes = read_up_to(&mut *source.reader, HEADER, path)?;
    let order = bytes.get(126..128);
    let version = bytes.get(124..126);
    // HDF5's own mark comes first where the text of 512 bytes that MATLAB puts before it is missing.
    if bytes.starts_with(b"\x89HDF")
        || bytes.starts_with(b"MATLAB 7.3")
        || (order == Some(b"IM") && version == Some(&[0, 2]))
        || (order == Some(b"MI") && version == Some(&[2, 0]))
    {
        return Err(DataError::Unsupported {
            what: format!("{}, a MAT file of version 7.3 (HDF5),", path.display()),
            reason: "only version 5 is read; save it again in MATLAB with `-v7`, or with scipy.io.savemat"
                .to_string(),
        });
    }
    match (order, version) {
        (Some(b"IM"), Some([0, 1])) => Ok(false),
        (Some(b"MI"), Some([1, 0])) => Ok(true),
        _ => Err(DataError::format(
            path,
            format!(
                "it has not the header of a MAT file of version 5 ({HEADER} bytes that end in 0x0100 and `MI`)"
            ),
        )),
    }
}

/// The head of an element. The few bytes of a small one stand in the head itself.
struct Element {
    kind: u32,
    length: u64,
    small: Option<Vec<u8>>,
}

/// A sequence of elements in a file, in a packed element or in an array.
struct Elements<'a> {
    reader: &'a mut dyn Read,
    /// No more bytes than this can follow.
    left: u64,
    big_endian: bool,
    path: &'a Path,
}

impl Elements<'_> {
    fn error(&self, reason: impl std::fmt::Display) -> DataError {
        DataError::format(self.path, reason)
    }

    fn check(&self, length: u64) -> Result<(), DataError> {
        if length > self.left {
            return Err(self.error(format!(
                "an element declares {length} bytes where no more than {} can follow; it is truncated or damaged: fetch it again",
                self.left
            )));
        }
        Ok(())
    }

    fn truncated(&self, expected: u64, found: u64) -> DataError {
        self.error(format!(
            "an element declares {expected} bytes and {found} follow; it is truncated: fetch it again"
        ))
    }

    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, DataError> {
        self.check(length)?;
        let bytes = read_up_to(self.reader, length, self.path)?;
        self.left = self.left.saturating_sub(bytes.len() as u64);
        if bytes.len() as u64 != length {
            return Err(self.truncated(length, bytes.len() as u64));
        }
        Ok(bytes)
    }

    fn skip(&mut self, length: u64) -> Result<(), DataError> {
        self.check(length)?;
        let found = io::copy(&mut (&mut *self.reader).take(length), &mut io::sink())
            .map_err(|source| DataError::read(self.path, source))?;
        self.left = self.left.saturating_sub(found);
        if found != length {
            return Err(self.truncated(length, found));
        }
        Ok(())
    }

    fn number(&self, bytes: &[u8]) -> u32 {
        let join = |sum: u32, &byte: &u8| sum << 8 | u32::from(byte);
        if self.big_endian {
            bytes.iter().fold(0, join)
        } else {
            bytes.iter().rev().fold(0, join)
        }
    }

    /// The head of the next element; none at the end.
    fn next(&mut self) -> Result<Option<Element>, DataError> {
        let head = read_up_to(self.reader, self.left.min(8), self.path)?;
        self.left = self.left.saturating_sub(head.len() as u64);
        if head.is_empty() {
            return Ok(None);
        }
        let [first, second] = [head.get(..4), head.get(4..8)].map(Option::unwrap_or_default);
        if second.is_empty() {
            return Err(self.error("it ends within an element's head; fetch it again"));
        }
        let kind = self.number(first);
        Ok(Some(match kind >> 16 {
            0 => Element {
                kind,
                length: u64::from(self.number(second)),
                small: None,
            },
            length => Element {
                kind: kind & 0xffff,
                length: u64::from(length),
                small: Some(
                    second
                        .get(..length as usize)
                        .ok_or_else(|| {
                            self.error(format!("a small element declares {length} bytes, over 4"))
                        })?
                        .to_vec(),
                ),
            },
        }))
    }

    /// The next element of an array, which must be there.
    fn part(&mut self, what: &str) -> Result<Element, DataError> {
        self.next()?
            .ok_or_else(|| self.error(format!("an array ends before its {what}")))
    }

    fn data(&mut self, element: Element) -> Result<Vec<u8>, DataError> {
        match element.small {
            Some(bytes) => Ok(bytes),
            None => {
                let bytes = self.bytes(element.length)?;
                self.skip(padding(element.length).min(self.left))?;
                Ok(bytes)
            }
        }
    }

    fn pass_over(&mut self, element: &Element) -> Result<(), DataError> {
        if element.small.is_none() {
            self.skip(element.length)?;
            self.skip(padding(element.length).min(self.left))?;
        }
        Ok(())
    }

    /// A variable packed into `length` bytes.
    fn packed(
        &mut self,
        length: u64,
        wanted: Option<&[&str]>,
        budget: &mut u64,
    ) -> Result<Option<Array>, DataError> {
        self.check(length)?;
        let mut decoder = ZlibDecoder::new((&mut *self.reader).take(length));
        let mut inside = Elements {
            reader: &mut decoder,
            left: length.saturating_mul(MAX_RATIO),
            big_endian: self.big_endian,
            path: self.path,
        };
        let mut array = None;
        if let Some(element) = inside.next()?
            && element.kind == MATRIX
        {
            inside.check(element.length)?;
            inside.left = element.length;
            array = inside.array(wanted, budget)?;
            if array.is_some() {
                let rest = inside.left;
                inside.skip(rest)?;
                // Reading on to the end also makes zlib compare its checksum.
                if !read_up_to(inside.reader, 1, self.path)?.is_empty() {
                    return Err(self.error("a packed variable goes on after its array"));
                }
            }
        }
        let mut rest = decoder.into_inner();
        io::copy(&mut rest, &mut io::sink())
            .map_err(|source| DataError::read(self.path, source))?;
        let missing = rest.limit();
        if missing > 0 {
            return Err(self.truncated(length, length.saturating_sub(missing)));
        }
        self.left = self.left.saturating_sub(length);
        Ok(array)
    }

    /// The array whose parts these elements are, if it is one of real numbers and wanted.
    fn array(
        &mut self,
        wanted: Option<&[&str]>,
        budget: &mut u64,
    ) -> Result<Option<Array>, DataError> {
        if self.left == 0 {
            return Ok(None);
        }
        let flags = self.part("flags")?;
        if flags.kind != UINT32 || flags.length != 8 {
            return Err(self.error("an array does not begin with its flags"));
        }
        let flags = self.data(flags)?;
        let flags = self.number(flags.get(..4).unwrap_or_default());
        let class = flags & 0xff;
        if class == 0 || class > LAST_CLASS {
            return Ok(None);
        }
        let dimensions = self.dimensions()?;
        let name = self.part("name")?;
        if !matches!(name.kind, INT8 | UINT8 | UTF8) || name.length > MAX_NAME {
            return Err(self.error(format!(
                "an array's name has {} bytes of type {}",
                name.length, name.kind
            )));
        }
        let name = String::from_utf8_lossy(&self.data(name)?).into_owned();
        if wanted.is_some_and(|wanted| !wanted.contains(&name.as_str())) {
            return Ok(None);
        }
        let class = match Class::from_code(class) {
            Some(class) if flags & COMPLEX == 0 => class,
            _ if wanted.is_some() => {
                return Err(
                    self.error(format!("its variable `{name}` is no array of real numbers"))
                );
            }
            _ => return Ok(None),
        };
        let values = self.part("values")?;
        let storage = Storage::from_code(values.kind).ok_or_else(|| {
            self.error(format!(
                "the values of `{name}` have the unknown type {}",
                values.kind
            ))
        })?;
        let expected = dimensions
            .iter()
            .try_fold(storage.bytes(), |product, &dimension| {
                product.checked_mul(u64::from(dimension))
            })
            .filter(|bytes| bytes <= budget && usize::try_from(*bytes).is_ok());
        let shape = || {
            let sides: Vec<String> = dimensions.iter().map(u32::to_string).collect();
            sides.join(" × ")
        };
        let Some(expected) = expected else {
            return Err(self.error(format!(
                "its variable `{name}` declares {} values, more than the {MAX_BYTES} bytes that are read",
                shape()
            )));
        };
        if expected != values.length {
            return Err(self.error(format!(
                "its variable `{name}` declares {} values, which take {expected} bytes, and has {}",
                shape(),
                values.length
            )));
        }
        *budget -= expected;
        let bytes = self.data(values)?;
        // Their product was found to fit, but a factor beside a 0 need not.
        let sides: Result<Vec<usize>, _> = dimensions.iter().map(|&side| side.try_into()).collect();
        let dimensions =
            sides.map_err(|_| self.error(format!("its variable `{name}` is too large")))?;
        Ok(Some(Array::new(
            name,
            class,
            dimensions,
            storage,
            self.big_endian,
            bytes,
        )))
    }

    fn dimensions(&mut self) -> Result<Vec<u32>, DataError> {
        let element = self.part("dimensions")?;
        if element.kind != INT32
            || !element.length.is_multiple_of(4)
            || !(2..=MAX_DIMENSIONS).contains(&(element.length / 4))
        {
            return Err(self.error(format!(
                "an array's dimensions take {} bytes of type {}; 2 to {MAX_DIMENSIONS} numbers of 4 bytes are read",
                element.length, element.kind
            )));
        }
        let bytes = self.data(element)?;
        let numbers: Vec<u32> = bytes.chunks(4).map(|word| self.number(word)).collect();
        if let Some(number) = numbers.iter().find(|&&number| number > i32::MAX as u32) {
            return Err(self.error(format!("an array has the dimension {}", *number as i32)));
        }
        Ok(numbers)
    }
}

/// Elements begin at multiples of 8 bytes.
fn padding(length: u64) -> u64 {
    (8 - length % 8) % 8
}
