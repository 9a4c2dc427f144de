//! Reading a declared number of bytes without trusting the declaration.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::DataError;

/// Memory is taken in steps of this size, and only as data really arrives.
const STEP: usize = 1 << 20;

/// A stream that is unpacked if it begins with gzip's magic number, whatever its name.
///
/// Comes with the length of the data where it is known without reading them.
pub(crate) struct Source<'a> {
    pub(crate) reader: Box<dyn Read + 'a>,
    pub(crate) length: Option<u64>,
}

impl<'a> Source<'a> {
    pub(crate) fn open(path: &Path) -> Result<Source<'static>, DataError> {
        let file = File::open(path).map_err(|source| DataError::read(path, source))?;
        let metadata = file
            .metadata()
            .map_err(|source| DataError::read(path, source))?;
        if !metadata.is_file() {
            return Err(DataError::format(path, "it is not a regular file"));
        }
        Source::new(BufReader::new(file), metadata.len(), path)
    }

    pub(crate) fn new(
        mut stream: impl Read + 'a,
        length: u64,
        path: &Path,
    ) -> Result<Self, DataError> {
        let mut head = Vec::with_capacity(2);
        (&mut stream)
            .take(2)
            .read_to_end(&mut head)
            .map_err(|source| DataError::read(path, source))?;
        let packed = head == [0x1f, 0x8b];
        let whole = Cursor::new(head).chain(stream);
        Ok(if packed {
            Self {
                reader: Box::new(MultiGzDecoder::new(whole)),
                length: None,
            }
        } else {
            Self {
                reader: Box::new(whole),
                length: Some(length),
            }
        })
    }
}

/// Reads up to `length` bytes; fewer come back only where the stream ends.
///
/// A declared length costs no memory by itself: the buffer grows with the data.
pub(crate) fn read_up_to(
    reader: &mut dyn Read,
    length: u64,
    path: &Path,
) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    loop {
        let left = length - bytes.len() as u64;
        let step = usize::try_from(left).unwrap_or(STEP).min(STEP);
        if step == 0 {
            return Ok(bytes);
        }
        bytes
            .try_reserve(step)
            .map_err(|error| DataError::format(path, format!("no memory for its data: {error}")))?;
        let got = reader
            .take(step as u64)
            .read_to_end(&mut bytes)
            .map_err(|source| unpacking(source, path))?;
        if got == 0 {
            return Ok(bytes);
        }
    }
}

/// Reads exactly `length` bytes and checks that the stream ends there.
pub(crate) fn read_exactly(
    source: &mut Source<'_>,
    length: u64,
    consumed: u64,
    path: &Path,
) -> Result<Vec<u8>, DataError> {
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
    let bytes = read_up_to(&mut *source.reader, length, path)?;
    let found = bytes.len() as u64;
    // One byte more shows that the stream goes on; how far is not worth the time a bomb would take.
    let more = found == length && !read_up_to(&mut *source.reader, 1, path)?.is_empty();
    if found != length || more {
        return Err(DataError::Length {
            path: path.to_path_buf(),
            expected: length,
            found,
            more,
        });
    }
    Ok(bytes)
}

fn unpacking(source: std::io::Error, path: &Path) -> DataError {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match source.kind() {
        UnexpectedEof => {
            DataError::format(path, "its compressed data end too early; fetch it again")
        }
        InvalidData | InvalidInput => DataError::format(
            path,
            format!("its compressed data are damaged ({source}); fetch it again"),
        ),
        _ => DataError::read(path, source),
    }
}
