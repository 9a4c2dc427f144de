//! Pictures that stay on disk and are decoded when they are asked for.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use sha2::{Digest, Sha256};

use crate::archive::Archive;
use crate::dataset::scale;
use crate::names::Names;
use crate::picture::{Fitted, check_shape, fit_bytes, fit_file};
use crate::splits::check;
use crate::{DataError, DataSplits, Dataset, ImageShape, InMemoryDataset};

/// No more threads than this decode a set into memory, since each may hold a large picture.
const MAX_THREADS: usize = 16;

/// Labelled pictures in a folder or a zip archive, each brought to one shape as [`read_picture`](crate::read_picture) does
/// it. Clones share the list.
///
/// Memory holds the list alone: a name and six bytes a file in a folder, six bytes a member of an archive. An image is read
/// and decoded each time it is asked for, by the thread that asks; [`PictureDataset::into_memory`] decodes them all once.
///
/// ```no_run
/// use protovae_data::{Dataset, ImageShape, PictureDataset};
///
/// let files = [("cats/tom.jpg", 0), ("dogs/rex.png", 1)];
/// let set = PictureDataset::in_folder("photos", files, ImageShape::new(3, 32, 32))?;
/// let mut image = vec![0.0; set.shape().pixels()];
/// set.image(1, &mut image)?;
/// # Ok::<(), protovae_data::DataError>(())
/// ```
#[derive(Clone)]
pub struct PictureDataset {
    shape: ImageShape,
    place: Arc<Place>,
    labels: Arc<Vec<u16>>,
}

enum Place {
    Folder {
        folder: PathBuf,
        names: Names,
    },
    Archive {
        archive: Arc<Archive>,
        /// What the members' names begin with and the pictures' names do not.
        prefix: String,
        members: Vec<u32>,
    },
}

impl fmt::Debug for PictureDataset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PictureDataset")
            .field("shape", &self.shape)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl PictureDataset {
    /// Pictures in files: each a path relative to `folder`, with `/` between folders, and its label. No file is touched.
    ///
    /// # Errors
    /// [`DataError::Unsupported`] for a shape that [`read_picture`](crate::read_picture) refuses; [`DataError::Format`] for
    /// names of 4 GiB and more.
    pub fn in_folder<'a>(
        folder: impl Into<PathBuf>,
        files: impl IntoIterator<Item = (&'a str, u16)>,
        shape: ImageShape,
    ) -> Result<Self, DataError> {
        check_shape(shape)?;
        let folder = folder.into();
        let mut names = Names::default();
        let mut labels = Vec::new();
        for (name, label) in files {
            names
                .push(name)
                .ok_or_else(|| DataError::format(&folder, "its files' names exceed 4 GiB"))?;
            labels.push(label);
        }
        names.shrink();
        labels.shrink_to_fit();
        Ok(Self {
            shape,
            place: Arc::new(Place::Folder { folder, names }),
            labels: Arc::new(labels),
        })
    }

    /// Pictures in a zip archive: each the name of a member without `prefix`, and its label. No member is read.
    ///
    /// # Errors
    /// As [`Self::in_folder`], and [`DataError::Format`] for a member that the archive does not have.
    pub fn in_archive<'a>(
        archive: Arc<Archive>,
        prefix: &str,
        members: impl IntoIterator<Item = (&'a str, u16)>,
        shape: ImageShape,
    ) -> Result<Self, DataError> {
        check_shape(shape)?;
        let mut indices = Vec::new();
        let mut labels = Vec::new();
        for (name, label) in members {
            let index = archive
                .find(&format!("{prefix}{name}"))
                .and_then(|index| u32::try_from(index).ok());
            indices.push(index.ok_or_else(|| {
                DataError::format(archive.path(), format!("it has no member `{prefix}{name}`"))
            })?);
            labels.push(label);
        }
        indices.shrink_to_fit();
        labels.shrink_to_fit();
        Ok(Self {
            shape,
            place: Arc::new(Place::Archive {
                archive,
                prefix: prefix.to_string(),
                members: indices,
            }),
            labels: Arc::new(labels),
        })
    }

    /// The name under which picture `index` was listed.
    ///
    /// # Errors
    /// [`DataError::IndexOutOfRange`] unless `index < len()`.
    pub fn name(&self, index: usize) -> Result<&str, DataError> {
        let name = match &*self.place {
            Place::Folder { names, .. } => names.get(index),
            Place::Archive {
                archive,
                prefix,
                members,
            } => members
                .get(index)
                .and_then(|&member| archive.name(member as usize)?.strip_prefix(prefix.as_str())),
        };
        name.ok_or_else(|| self.out_of_range(index))
    }

    /// The length of picture `index` in bytes, as it lies on disk or, unpacked, in the archive.
    ///
    /// # Errors
    /// [`DataError::IndexOutOfRange`] unless `index < len()`; [`DataError::Read`] for a file that is not there.
    pub fn file_length(&self, index: usize) -> Result<u64, DataError> {
        match &*self.place {
            Place::Folder { folder, .. } => {
                let path = folder.join(self.name(index)?);
                match fs::metadata(&path) {
                    Ok(metadata) => Ok(metadata.len()),
                    Err(source) => Err(DataError::read(path, source)),
                }
            }
            Place::Archive {
                archive, members, ..
            } => members
                .get(index)
                .and_then(|&member| archive.declared_length(member as usize))
                .ok_or_else(|| self.out_of_range(index)),
        }
    }

    /// The bytes that all images take in memory once decoded; `u64::MAX` where that overflows.
    #[must_use]
    pub fn decoded_bytes(&self) -> u64 {
        (self.len() as u64).saturating_mul(self.shape.pixels() as u64)
    }

    /// Decodes all pictures, by as many threads as there are processors, 16 at most.
    ///
    /// # Errors
    /// Of the pictures that cannot be read the first one; [`DataError::Setting`] where there is not so much memory;
    /// [`DataError::Worker`] where a decoder panicked.
    pub fn into_memory(self) -> Result<InMemoryDataset, DataError> {
        let mut pixels: Vec<u8> = Vec::new();
        let total = usize::try_from(self.decoded_bytes()).unwrap_or(usize::MAX);
        pixels
            .try_reserve_exact(total)
            .map_err(|error| DataError::Setting {
                key: "memory_limit_mib",
                reason: format!(
                    "no memory for {} images of {}: {error}; 0 leaves them on disk",
                    self.len(),
                    self.shape
                ),
            })?;
        pixels.resize(total, 0);
        self.decode_all(&mut pixels)?;
        let labels = Arc::try_unwrap(self.labels).unwrap_or_else(|shared| shared.to_vec());
        InMemoryDataset::new(self.shape, pixels, labels)
    }

    fn decode_all(&self, pixels: &mut [u8]) -> Result<(), DataError> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(MAX_THREADS).min(self.len());
        // Pictures are handed out in order, so those before a failed one have all been tried when the threads end.
        let work = Mutex::new(pixels.chunks_mut(self.shape.pixels()).enumerate());
        let failed: Mutex<Option<(usize, DataError)>> = Mutex::new(None);
        let lock_failed = || failed.lock().unwrap_or_else(PoisonError::into_inner);
        let worker = || {
            loop {
                let next = work.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((index, out)) = next else { return };
                if lock_failed().is_some() {
                    return;
                }
                if let Err(error) = self.bytes(index, out) {
                    let mut failed = lock_failed();
                    if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                        *failed = Some((index, error));
                    }
                    return;
                }
            }
        };
        let panicked = thread::scope(|scope| {
            let mut handles = Vec::new();
            for number in 0..threads {
                let name = format!("decoder-{number}");
                // Fewer threads take longer, no more.
                if let Ok(handle) = thread::Builder::new()
                    .name(name)
                    .spawn_scoped(scope, worker)
                {
                    handles.push(handle);
                }
            }
            if handles.is_empty() {
                worker();
            }
            // All are joined here, since the scope would pass on a panic.
            handles
                .into_iter()
                .map(thread::ScopedJoinHandle::join)
                .filter(Result::is_err)
                .count()
        });
        if panicked > 0 {
            return Err(DataError::Worker {
                reason: "the decoder of a picture panicked".to_string(),
            });
        }
        match lock_failed().take() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// Writes the bytes of image `index` to `out`, channel by channel.
    ///
    /// # Errors
    /// As [`Dataset::image`].
    pub fn bytes(&self, index: usize, out: &mut [u8]) -> Result<(), DataError> {
        self.check_buffer(out.len())?;
        self.fitted(index)?.write(out, |byte| byte);
        Ok(())
    }

    fn fitted(&self, index: usize) -> Result<Fitted, DataError> {
        match &*self.place {
            Place::Folder { folder, .. } => fit_file(&folder.join(self.name(index)?), self.shape),
            Place::Archive {
                archive, members, ..
            } => {
                let member = *members.get(index).ok_or_else(|| self.out_of_range(index))? as usize;
                fit_bytes(
                    &archive.read(member)?,
                    &archive.member_path(member),
                    self.shape,
                )
            }
        }
    }

    fn check_buffer(&self, found: usize) -> Result<(), DataError> {
        let expected = self.shape.pixels();
        if found == expected {
            return Ok(());
        }
        Err(DataError::BufferLength {
            what: "buffer for an image",
            expected,
            found,
        })
    }

    fn out_of_range(&self, index: usize) -> DataError {
        DataError::IndexOutOfRange {
            index,
            len: self.len(),
        }
    }
}

impl Dataset for PictureDataset {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn label(&self, index: usize) -> Result<usize, DataError> {
        let label = self.labels.get(index);
        label
            .map(|&label| usize::from(label))
            .ok_or_else(|| self.out_of_range(index))
    }

    fn image(&self, index: usize, out: &mut [f32]) -> Result<(), DataError> {
        self.check_buffer(out.len())?;
        self.fitted(index)?.write(out, scale);
        Ok(())
    }
}

/// SHA-256 in hexadecimal over the lists of two splits, as [`DataSplits::from_pictures`] states it.
fn digest_of_lists(train: &PictureDataset, test: &PictureDataset) -> Result<String, DataError> {
    let mut hash = Sha256::new();
    let number = |hash: &mut Sha256, number: u64| hash.update(number.to_le_bytes());
    let shape = train.shape();
    for size in [shape.channels, shape.height, shape.width] {
        number(&mut hash, size as u64);
    }
    for set in [train, test] {
        number(&mut hash, set.len() as u64);
        for index in 0..set.len() {
            let name = set.name(index)?;
            number(&mut hash, set.label(index)? as u64);
            number(&mut hash, set.file_length(index)?);
            number(&mut hash, name.len() as u64);
            hash.update(name);
        }
    }
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl DataSplits {
    /// Joins two splits of pictures, decoding them into memory where both together take at most `memory_limit_mib` MiB so.
    ///
    /// The digest is the same either way: SHA-256 over, all numbers as little-endian u64: channels, height, width of
    /// `train`; then for `train` and for `test` the number of pictures, and of each picture its label, its file's length in
    /// bytes, its name's length in bytes and its name (in UTF-8, relative to the set's folder, with `/` between folders).
    /// It does not read the pictures, so one replaced by another of equal length keeps it.
    ///
    /// # Errors
    /// As [`DataSplits::from_datasets`], [`PictureDataset::file_length`] and [`PictureDataset::into_memory`].
    pub fn from_pictures(
        name: impl Into<String>,
        classes: Vec<String>,
        train: PictureDataset,
        test: PictureDataset,
        memory_limit_mib: u64,
    ) -> Result<Self, DataError> {
        let name = name.into();
        // Before any picture is decoded.
        check(&name, &classes, &train, &test)?;
        let digest = digest_of_lists(&train, &test)?;
        let needed = train.decoded_bytes().saturating_add(test.decoded_bytes());
        let limit = memory_limit_mib.saturating_mul(1 << 20);
        let (train, test): (Arc<dyn Dataset>, Arc<dyn Dataset>) = if needed <= limit {
            (
                Arc::new(train.into_memory()?),
                Arc::new(test.into_memory()?),
            )
        } else {
            (Arc::new(train), Arc::new(test))
        };
        Self::from_datasets(name, classes, train, test, digest)
    }
}

/// Counts the files in a folder that `names` lists and the folder has not, by one look at the folder; with the first of
/// them.
pub(crate) fn missing<'a>(
    folder: &Path,
    names: impl Iterator<Item = &'a str>,
) -> Result<Option<(usize, &'a str)>, DataError> {
    let mut there = Names::default();
    let read = |source| DataError::read(folder, source);
    for entry in fs::read_dir(folder).map_err(read)? {
        let name = entry.map_err(read)?.file_name();
        // A name that is not Unicode is none of those listed.
        if let Some(name) = name.to_str() {
            there
                .push(name)
                .ok_or_else(|| DataError::format(folder, "its files' names exceed 4 GiB"))?;
        }
    }
    let order = there.sorted();
    let mut absent = names.filter(|name| there.find(&order, name).is_none());
    Ok(absent.next().map(|first| (1 + absent.count(), first)))
}
