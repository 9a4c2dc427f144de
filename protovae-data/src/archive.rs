//! Zip archives, whose members are read where they lie, by several threads at once.
//!
//! Only the list of members is kept in memory, some 40 bytes and the name for each. Nothing is unpacked to disk. Stored and
//! deflated members are read, also in archives beyond 4 GiB or 65,535 members (ZIP64).

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::Crc;
use flate2::read::DeflateDecoder;

use crate::DataError;
use crate::archive_index::{Member, Method, read_index};
use crate::names::Names;

/// Members beyond this length, packed or unpacked, are refused.
pub const MAX_MEMBER: u64 = 512 << 20;

/// Deflate packs no better than this.
const MAX_RATIO: u64 = 1032;

/// An open zip archive.
///
/// ```no_run
/// use protovae_data::archive::Archive;
///
/// let archive = Archive::open("img_align_celeba.zip".as_ref())?;
/// let index = archive.find("img_align_celeba/000001.jpg").ok_or("no such member")?;
/// let jpeg: Vec<u8> = archive.read(index)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Archive {
    path: PathBuf,
    store: Store,
    names: Names,
    members: Vec<Member>,
    /// The members' indices by name.
    order: Vec<u32>,
}

impl fmt::Debug for Archive {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Archive")
            .field("path", &self.path)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Archive {
    /// Opens an archive and reads its list of members.
    ///
    /// # Errors
    /// [`DataError::Read`]; [`DataError::Format`] for a file that is no zip archive, is truncated or contradicts itself, has
    /// two members of one name, or one whose name leads out of the archive (`../`).
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|source| DataError::read(path, source))?;
        let metadata = file
            .metadata()
            .map_err(|source| DataError::read(path, source))?;
        if !metadata.is_file() {
            return Err(DataError::format(path, "it is not a regular file"));
        }
        Self::new(Store::file(file, metadata.len()), path)
    }

    /// An archive in memory; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(bytes: Vec<u8>, name: &Path) -> Result<Self, DataError> {
        Self::new(Store::Bytes(bytes), name)
    }

    fn new(store: Store, path: &Path) -> Result<Self, DataError> {
        let (names, members) = read_index(&store, path)?;
        let order = names.sorted();
        if let Some((first, _)) = names.repeated(&order) {
            let name = names.get(first).unwrap_or_default();
            return Err(DataError::format(
                path,
                format!("two of its members are called `{name}`"),
            ));
        }
        Ok(Self {
            path: path.to_path_buf(),
            store,
            names,
            members,
            order,
        })
    }

    /// The archive's own path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of members, folders not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The name of a member, with `/` between folders.
    #[must_use]
    pub fn name(&self, index: usize) -> Option<&str> {
        self.names.get(index)
    }

    /// The index of the member of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.find(&self.order, name)
    }

    /// The length in bytes that the archive declares for a member, unpacked.
    #[must_use]
    pub fn declared_length(&self, index: usize) -> Option<u64> {
        self.members.get(index).map(|member| member.length)
    }

    /// What errors call a member: the archive's path and the member's name.
    #[must_use]
    pub fn member_path(&self, index: usize) -> PathBuf {
        self.path.join(self.name(index).unwrap_or_default())
    }

    /// Reads and unpacks a member. Its length and its checksum are compared with what the archive declares.
    ///
    /// # Errors
    /// [`DataError::IndexOutOfRange`]; [`DataError::Read`]; [`DataError::Unsupported`] for an encrypted member or another
    /// method than stored and deflated; [`DataError::Format`] for a damaged one, one beyond [`MAX_MEMBER`], and one whose
    /// declared lengths are not true.
    pub fn read(&self, index: usize) -> Result<Vec<u8>, DataError> {
        let member = self
            .members
            .get(index)
            .ok_or_else(|| DataError::IndexOutOfRange {
                index,
                len: self.len(),
            })?;
        let path = self.member_path(index);
        let refuse = |reason: String| Err(DataError::format(&path, reason));
        let unsupported = |what: &str| {
            Err(DataError::Unsupported {
                what: format!("reading {}, which is {what},", path.display()),
                reason: "unpack the archive with another program and name the folder".to_string(),
            })
        };
        match member.method {
            Method::Encrypted => return unsupported("encrypted"),
            Method::Other(number) => return unsupported(&format!("packed by method {number}")),
            Method::Stored if member.packed != member.length => {
                return refuse(format!(
                    "it is stored in {} bytes but declares {}",
                    member.packed, member.length
                ));
            }
            Method::Deflated if member.length / MAX_RATIO > member.packed => {
                return refuse(format!(
                    "it declares {} bytes out of {}, which deflate cannot do",
                    member.length, member.packed
                ));
            }
            Method::Stored | Method::Deflated => {}
        }
        if member.length.max(member.packed) > MAX_MEMBER {
            return refuse(format!(
                "it has {} bytes, more than the {MAX_MEMBER} that are read",
                member.length.max(member.packed)
            ));
        }
        let packed = self.packed(index, member, &path)?;
        let bytes = if member.method == Method::Deflated {
            inflate(&packed, member.length, &path)?
        } else {
            packed
        };
        let mut check = Crc::new();
        check.update(&bytes);
        if check.sum() != member.check {
            return refuse("its checksum is wrong: it is damaged; fetch the archive again".into());
        }
        Ok(bytes)
    }

    /// The member's bytes as they lie in the archive, after a look at the header before them.
    fn packed(&self, index: usize, member: &Member, path: &Path) -> Result<Vec<u8>, DataError> {
        let name = self.names.get(index).unwrap_or_default();
        let read = |source| DataError::read(path, source);
        let mut header = [0; 30];
        self.store
            .read_exact_at(&mut header, member.header)
            .map_err(read)?;
        let word = |at: usize| u64::from(u16::from_le_bytes([header[at], header[at + 1]]));
        let (name_length, extra_length) = (word(26), word(28));
        let start = member.header.saturating_add(30);
        let mut found = vec![0; name_length as usize];
        if header[..4] != *b"PK\x03\x04"
            || self.store.read_exact_at(&mut found, start).is_err()
            || String::from_utf8_lossy(&found) != name
        {
            return Err(DataError::format(
                path,
                "the archive's list of members points to something else: it is damaged; fetch it again",
            ));
        }
        let start = start.saturating_add(name_length + extra_length);
        let end = start.saturating_add(member.packed);
        if end > self.store.length() {
            return Err(DataError::format(
                path,
                "it reaches beyond the end of the archive: the archive is truncated; fetch it again",
            ));
        }
        // At most MAX_MEMBER, and the archive has so many bytes.
        let mut packed = vec![0; member.packed as usize];
        self.store.read_exact_at(&mut packed, start).map_err(read)?;
        Ok(packed)
    }
}

/// Unpacks exactly `length` bytes; one byte more is an error, so that a bomb costs no more than it declares.
fn inflate(packed: &[u8], length: u64, path: &Path) -> Result<Vec<u8>, DataError> {
    // The buffer grows with the data, whatever the length declared.
    let mut bytes = Vec::new();
    DeflateDecoder::new(packed)
        .take(length.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| {
            DataError::format(
                path,
                format!("it is damaged ({error}); fetch the archive again"),
            )
        })?;
    let found = bytes.len() as u64;
    if found != length {
        return Err(DataError::Length {
            path: path.to_path_buf(),
            expected: length,
            found: found.min(length),
            more: found > length,
        });
    }
    Ok(bytes)
}

/// The bytes of an archive, read at any position by any thread.
pub(crate) enum Store {
    Bytes(Vec<u8>),
    File {
        file: File,
        length: u64,
        /// Where the system cannot read at a position, threads take turns.
        #[cfg(not(unix))]
        turn: std::sync::Mutex<()>,
    },
}

impl Store {
    fn file(file: File, length: u64) -> Self {
        Self::File {
            file,
            length,
            #[cfg(not(unix))]
            turn: std::sync::Mutex::new(()),
        }
    }

    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    pub(crate) fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let part = bytes.get(start..start.saturating_add(out.len()));
                out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            #[cfg(unix)]
            Self::File { file, .. } => std::os::unix::fs::FileExt::read_exact_at(file, out, offset),
            #[cfg(not(unix))]
            Self::File { file, turn, .. } => {
                use std::io::{Seek, SeekFrom};
                let _turn = turn
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                let mut file = file;
                file.seek(SeekFrom::Start(offset))?;
                file.read_exact(out)
            }
        }
    }
}
