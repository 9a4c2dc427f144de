//! CIFAR-10 from the archive that its publisher hands out, `cifar-10-binary.tar.gz`.

use std::io::Read;
use std::path::Path;

use crate::bounded::{Source, read_up_to};
use crate::cifar::{self, SHAPE};
use crate::{DataError, InMemoryDataset};

/// No more than this is unpacked: the published archive has 184,380,000 bytes and a little more.
const MAX_BYTES: u64 = 1 << 30;

const META: &str = "batches.meta.txt";

/// What the archive holds.
#[derive(Debug)]
pub struct CifarArchive {
    /// The images of `data_batch_1.bin` to `data_batch_5.bin`.
    pub train: InMemoryDataset,
    /// The images of `test_batch.bin`.
    pub test: InMemoryDataset,
    /// How many training and test images the files hold, whatever the limits.
    pub counts: [usize; 2],
    /// The names in `batches.meta.txt`, where there is one.
    pub classes: Option<Vec<String>>,
}

/// Reads the archive, in whose members' order and folders nothing matters; nothing is unpacked to disk. Of each split the
/// first so many images are kept as its limit says.
///
/// # Errors
/// [`DataError::Read`]; [`DataError::Format`] for a file that is no tar archive (gzipped or not), is truncated, lacks a
/// file or has it twice, or unpacks to more than 1 GiB; and as [`cifar::read_files`] for its members.
pub fn read_archive(
    path: &Path,
    train_limit: Option<usize>,
    test_limit: Option<usize>,
) -> Result<CifarArchive, DataError> {
    archive(Source::open(path)?, path, train_limit, test_limit)
}

/// As [`read_archive`] from bytes; `name` is what errors call them.
///
/// # Errors
/// As [`read_archive`].
///
/// ```
/// let error = protovae_data::cifar::parse_archive(b"", "a.tar.gz".as_ref(), None, None).unwrap_err();
/// assert!(error.to_string().contains("data_batch_1.bin"));
/// ```
pub fn parse_archive(
    bytes: &[u8],
    name: &Path,
    train_limit: Option<usize>,
    test_limit: Option<usize>,
) -> Result<CifarArchive, DataError> {
    let source = Source::new(bytes, bytes.len() as u64, name)?;
    archive(source, name, train_limit, test_limit)
}

fn archive(
    source: Source<'_>,
    path: &Path,
    train_limit: Option<usize>,
    test_limit: Option<usize>,
) -> Result<CifarArchive, DataError> {
    let names = [
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
        "test_batch.bin",
        META,
    ];
    let mut members: [Option<Vec<u8>>; 7] = Default::default();
    let damaged = |error: std::io::Error| {
        DataError::format(
            path,
            format!("it is no tar archive or a damaged one ({error}); fetch it again"),
        )
    };
    let mut tar = tar::Archive::new(source.reader.take(MAX_BYTES));
    // Raw: the extensions for long names, which would be read into memory whatever their length, are not needed.
    for entry in tar.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path_bytes().into_owned();
        let last = name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let slot = names
            .iter()
            .zip(&mut members)
            .find(|(wanted, _)| wanted.as_bytes() == last);
        let Some((wanted, slot)) = slot else {
            continue;
        };
        if slot.is_some() {
            return Err(DataError::format(path, format!("it has `{wanted}` twice")));
        }
        let length = entry.size();
        if *wanted != META {
            cifar::check_length(length, &path.join(wanted))?;
        } else if length > cifar::MAX_META {
            return Err(DataError::format(
                path,
                format!("its `{META}` has {length} bytes"),
            ));
        }
        let bytes = read_up_to(&mut entry, length, path)?;
        if bytes.len() as u64 != length {
            return Err(DataError::Length {
                path: path.join(wanted),
                expected: length,
                found: bytes.len() as u64,
                more: false,
            });
        }
        *slot = Some(bytes);
        if members.iter().all(Option::is_some) {
            break;
        }
    }
    if let Some((missing, _)) = names
        .iter()
        .zip(&members)
        .find(|(name, member)| member.is_none() && **name != META)
    {
        return Err(DataError::format(
            path,
            format!(
                "it has no `{missing}` in the {MAX_BYTES} bytes that are unpacked at most; is it cifar-10-binary.tar.gz?"
            ),
        ));
    }
    let records = |members: &[Option<Vec<u8>>]| {
        members.iter().flatten().map(Vec::len).sum::<usize>() / cifar::RECORD
    };
    let counts = [records(&members[..5]), records(&members[5..6])];
    let mut files = names
        .iter()
        .zip(members)
        .filter_map(|(name, member)| Some((path.join(name), member?)));
    let train = joined(files.by_ref().take(5), train_limit)?;
    let test = joined(files.by_ref().take(1), test_limit)?;
    let classes = files
        .next()
        .map(|(name, bytes)| cifar::class_names(bytes, &name))
        .transpose()?;
    Ok(CifarArchive {
        train,
        test,
        counts,
        classes,
    })
}

fn joined(
    files: impl Iterator<Item = (std::path::PathBuf, Vec<u8>)>,
    limit: Option<usize>,
) -> Result<InMemoryDataset, DataError> {
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    for (name, bytes) in files {
        let limit = limit.unwrap_or(usize::MAX);
        cifar::append(&bytes, &name, limit, &mut pixels, &mut labels)?;
    }
    InMemoryDataset::new(SHAPE, pixels, labels)
}
