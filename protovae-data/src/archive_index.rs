//! The list of members at the end of a zip archive.
//!
//! Written against PKWARE's APPNOTE 6.3.10. The list is read as a stream; a declared number of members costs no memory
//! before that many bytes are there.

use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::DataError;
use crate::archive::Store;
use crate::names::Names;

/// Bytes of the record that ends an archive, without its comment.
const END: usize = 22;

/// Bytes of a member's entry, without its name, extra fields and comment.
const ENTRY: usize = 46;

/// How a member is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Stored,
    Deflated,
    Encrypted,
    Other(u16),
}

/// What the list says of a member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    /// Where its header begins.
    pub(crate) header: u64,
    /// Bytes in the archive.
    pub(crate) packed: u64,
    /// Bytes once unpacked.
    pub(crate) length: u64,
    /// CRC-32 of the unpacked bytes.
    pub(crate) check: u32,
    pub(crate) method: Method,
}

/// The members that are no folders, with their names.
pub(crate) fn read_index(store: &Store, path: &Path) -> Result<(Names, Vec<Member>), DataError> {
    let Directory {
        start,
        length,
        entries,
    } = find_directory(store, path)?;
    let mut stream = BufReader::new(Window {
        store,
        position: start,
        left: length,
    });
    let mut names = Names::default();
    let mut members = Vec::new();
    for _ in 0..entries {
        let (name, member) = read_entry(&mut stream).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => DataError::format(
                path,
                "its list of members ends too early: it is damaged; fetch it again",
            ),
            io::ErrorKind::InvalidData => {
                DataError::format(path, format!("{source}; fetch it again"))
            }
            _ => DataError::read(path, source),
        })?;
        if name.is_empty() || name.ends_with('/') {
            continue;
        }
        if !stays_inside(&name) {
            return Err(DataError::format(
                path,
                format!(
                    "the name of its member `{name}` leads out of the archive; no set of pictures has such"
                ),
            ));
        }
        if member.header >= start {
            return Err(DataError::format(
                path,
                format!("its member `{name}` lies behind the list of members: it is damaged"),
            ));
        }
        names
            .push(&name)
            .ok_or_else(|| DataError::format(path, "the names of its members exceed 4 GiB"))?;
        members.push(member);
    }
    names.shrink();
    members.shrink_to_fit();
    Ok((names, members))
}

fn stays_inside(name: &str) -> bool {
    !name.starts_with('/')
        && !name.contains(['\\', '\0'])
        && !name.split('/').any(|part| part == "..")
        // A drive letter.
        && name.as_bytes().get(1) != Some(&b':')
}

struct Directory {
    start: u64,
    length: u64,
    entries: u64,
}

/// Finds the list of members by the record at the archive's end.
fn find_directory(store: &Store, path: &Path) -> Result<Directory, DataError> {
    let total = store.length();
    let read = |source| DataError::read(path, source);
    // The record and the longest comment behind it.
    let tail_length = total.min((END + usize::from(u16::MAX)) as u64);
    let tail_start = total - tail_length;
    let mut tail = vec![0; tail_length as usize];
    store.read_exact_at(&mut tail, tail_start).map_err(read)?;
    // The comment may hold what looks like a record; the true one ends with the file.
    let Some(end) = (0..(tail.len() + 1).saturating_sub(END)).rev().find(|&at| {
        tail[at..].starts_with(b"PK\x05\x06")
            && at + END + short(&tail, at + 20) as usize == tail.len()
    }) else {
        return Err(DataError::format(
            path,
            "it does not end as a zip archive does: it is truncated or no archive",
        ));
    };
    let end_position = tail_start + end as u64;
    let mut disks = u64::from(short(&tail, end + 4)) + u64::from(short(&tail, end + 6));
    let mut entries = u64::from(short(&tail, end + 10));
    let mut length = u64::from(long(&tail, end + 12));
    let mut start = u64::from(long(&tail, end + 16));
    let mut limit = end_position;
    if entries == u64::from(u16::MAX) || length.max(start) == u64::from(u32::MAX) {
        let mut locator = [0; 20];
        let locator_position = end_position.checked_sub(20);
        if let Some(position) = locator_position {
            store.read_exact_at(&mut locator, position).map_err(read)?;
        }
        if locator.starts_with(b"PK\x06\x07") {
            let position = wide(&locator, 8);
            let mut record = [0; 56];
            if position.saturating_add(56) > end_position
                || store.read_exact_at(&mut record, position).is_err()
                || !record.starts_with(b"PK\x06\x06")
            {
                return Err(DataError::format(
                    path,
                    "its ZIP64 record is not where the archive says: it is damaged; fetch it again",
                ));
            }
            disks = u64::from(long(&record, 16)) + u64::from(long(&record, 20));
            entries = wide(&record, 32);
            length = wide(&record, 40);
            start = wide(&record, 48);
            limit = position;
        }
    }
    if disks != 0 {
        return Err(DataError::format(
            path,
            "it is one part of several; join the parts first",
        ));
    }
    if start.checked_add(length).is_none_or(|end| end > limit) || entries > length / ENTRY as u64 {
        return Err(DataError::format(
            path,
            format!(
                "it declares {entries} members in {length} bytes from {start} on, which do not fit: it is damaged; fetch it again"
            ),
        ));
    }
    Ok(Directory {
        start,
        length,
        entries,
    })
}

fn read_entry(stream: &mut impl Read) -> io::Result<(String, Member)> {
    let mut entry = [0; ENTRY];
    stream.read_exact(&mut entry)?;
    if !entry.starts_with(b"PK\x01\x02") {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "its list of members is damaged",
        ));
    }
    // Each of the three has at most 65,535 bytes.
    let mut part = |at: usize| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::from(short(&entry, at))];
        stream.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let (name, extra, _comment) = (part(28)?, part(30)?, part(32)?);
    let mut member = Member {
        header: u64::from(long(&entry, 42)),
        packed: u64::from(long(&entry, 20)),
        length: u64::from(long(&entry, 24)),
        check: long(&entry, 16),
        method: match (short(&entry, 8) & 1, short(&entry, 10)) {
            (1, _) => Method::Encrypted,
            (_, 0) => Method::Stored,
            (_, 8) => Method::Deflated,
            (_, other) => Method::Other(other),
        },
    };
    widen(&mut member, &extra)?;
    Ok((String::from_utf8_lossy(&name).into_owned(), member))
}

/// Takes the numbers that did not fit 32 bits from the ZIP64 field.
fn widen(member: &mut Member, mut extra: &[u8]) -> io::Result<()> {
    let numbers = [&mut member.length, &mut member.packed, &mut member.header];
    let mut missing = numbers
        .into_iter()
        .filter(|number| **number == u64::from(u32::MAX))
        .peekable();
    while missing.peek().is_some() {
        let (Some(head), Some(rest)) = (extra.get(..4), extra.get(4..)) else {
            // No such field: the number is what it is.
            return Ok(());
        };
        let length = usize::from(short(head, 2)).min(rest.len());
        let (field, behind) = rest.split_at(length);
        if short(head, 0) == 1 {
            for (number, bytes) in missing.by_ref().zip(field.chunks_exact(8)) {
                *number = wide(bytes, 0);
            }
            return Ok(());
        }
        extra = behind;
    }
    Ok(())
}

/// Little-endian numbers; 0 where the bytes end before them.
fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk::<N>())
        .copied()
        .unwrap_or([0; N])
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(number(bytes, at))
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(number(bytes, at))
}

fn wide(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(number(bytes, at))
}

/// A part of an archive as a stream.
struct Window<'a> {
    store: &'a Store,
    position: u64,
    left: u64,
}

impl Read for Window<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let step = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(out.len());
        let out = out.get_mut(..step).unwrap_or_default();
        self.store.read_exact_at(out, self.position)?;
        self.position += step as u64;
        self.left -= step as u64;
        Ok(step)
    }
}
