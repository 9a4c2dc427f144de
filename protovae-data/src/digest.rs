//! SHA-256 of files, read as a stream.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::DataError;

/// Bytes read at a time.
pub(crate) const CHUNK: usize = 1 << 16;

/// A digest in hexadecimal.
pub(crate) fn hexadecimal(hash: Sha256) -> String {
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Hashes a stream to its end and returns its length; `progress` hears the bytes read so far.
pub(crate) fn update_from(
    hash: &mut Sha256,
    stream: &mut dyn Read,
    path: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, DataError> {
    let mut chunk = vec![0; CHUNK];
    let mut length = 0u64;
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(length),
            Ok(count) => {
                hash.update(chunk.get(..count).unwrap_or_default());
                length = length.saturating_add(count as u64);
                progress(length);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(DataError::read(path, source)),
        }
    }
}

/// The length and the SHA-256 of a file.
pub(crate) fn of_file(
    path: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(u64, String), DataError> {
    let mut file = File::open(path).map_err(|source| DataError::read(path, source))?;
    let mut hash = Sha256::new();
    let length = update_from(&mut hash, &mut file, path, progress)?;
    Ok((length, hexadecimal(hash)))
}
