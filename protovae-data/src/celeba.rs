//! The lists that come with CelebA: the attributes of each face, and which split it belongs to.
//!
//! As its publisher wrote them: `list_attr_celeba.txt` begins with the number of files and the names of the 40 attributes,
//! then each line holds a file's name and 1 or -1 for each attribute; each line of `list_eval_partition.txt` holds a file's
//! name and 0 for training, 1 for validation or 2 for testing. The same as comma-separated values with a line of titles, as
//! Kaggle has them, is known by the comma in its first line.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::DataError;
use crate::bounded::Source;
use crate::names::Names;

/// The number of faces in the published set.
pub const IMAGES: usize = 202_599;

/// Lines beyond this length are refused; the published ones have some 900 bytes at most.
const MAX_LINE: u64 = 1 << 16;

/// Lists beyond this length are refused; the published ones have 26 MB.
const MAX_BYTES: u64 = 1 << 30;

/// The files of a list of attributes, and which of them have the attribute asked for.
#[derive(Debug, Clone)]
pub struct FaceAttribute {
    names: Names,
    has: Vec<bool>,
}

impl FaceAttribute {
    /// The number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.has.len()
    }

    /// Whether no file is listed; the readers refuse such a list.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.has.is_empty()
    }

    /// The name of file `index`, in the list's order.
    #[must_use]
    pub fn file(&self, index: usize) -> Option<&str> {
        self.names.get(index)
    }

    /// Whether file `index` has the attribute.
    #[must_use]
    pub fn has(&self, index: usize) -> Option<bool> {
        self.has.get(index).copied()
    }

    /// The names of all files, in the list's order.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.names.iter()
    }
}

/// The splits of CelebA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// 0 in the list.
    Train,
    /// 1 in the list.
    Validation,
    /// 2 in the list.
    Test,
}

/// A list of files with their splits.
#[derive(Debug, Clone)]
pub struct Partition {
    names: Names,
    parts: Vec<Part>,
    order: Vec<u32>,
}

impl Partition {
    /// The number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether no file is listed; the readers refuse such a list.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The split of a file; none for a file that is not listed.
    #[must_use]
    pub fn part(&self, file: &str) -> Option<Part> {
        let index = self.names.find(&self.order, file)?;
        self.parts.get(index).copied()
    }
}

/// Reads a list of attributes, of which it keeps one.
///
/// # Errors
/// [`DataError::Read`]; [`DataError::Setting`] for an attribute that the list does not have; [`DataError::Format`] naming
/// the line for a file listed twice or whose name has a folder, a value other than 1 and -1, more or fewer values than
/// attributes, and more or fewer files than the first line declares.
pub fn read_attributes(path: &Path, attribute: &str) -> Result<FaceAttribute, DataError> {
    attributes(Lines::of_file(path)?, attribute)
}

/// As [`read_attributes`] from bytes; `name` is what errors call them.
///
/// # Errors
/// As [`read_attributes`].
///
/// ```
/// use protovae_data::celeba::parse_attributes;
///
/// let list = b"2\nMale Young\n000001.jpg -1  1\n000002.jpg  1 -1\n";
/// let faces = parse_attributes(list, "example".as_ref(), "Male")?;
/// assert_eq!((faces.file(1), faces.has(1)), (Some("000002.jpg"), Some(true)));
/// # Ok::<(), protovae_data::DataError>(())
/// ```
pub fn parse_attributes(
    bytes: &[u8],
    name: &Path,
    attribute: &str,
) -> Result<FaceAttribute, DataError> {
    attributes(Lines::of_bytes(bytes, name)?, attribute)
}

/// Reads a list of splits.
///
/// # Errors
/// [`DataError::Read`]; [`DataError::Format`] naming the line for a file listed twice or whose name has a folder, and for
/// anything but 0, 1 or 2 behind the name.
pub fn read_partition(path: &Path) -> Result<Partition, DataError> {
    partition(Lines::of_file(path)?)
}

/// As [`read_partition`] from bytes; `name` is what errors call them.
///
/// # Errors
/// As [`read_partition`].
pub fn parse_partition(bytes: &[u8], name: &Path) -> Result<Partition, DataError> {
    partition(Lines::of_bytes(bytes, name)?)
}

fn attributes(mut lines: Lines<'_>, attribute: &str) -> Result<FaceAttribute, DataError> {
    let Some(first) = lines.next()? else {
        return Err(DataError::format(&lines.path, "it is empty"));
    };
    let (declared, titles) = if first.contains(',') {
        let titles = fields(&first, true).skip(1).map(str::to_string).collect();
        (None, titles)
    } else {
        let count: u64 = first.trim().parse().map_err(|_| {
            lines.fault("the first line of a list of attributes is the number of files")
        })?;
        let titles = lines.next()?.unwrap_or_default();
        let titles: Vec<String> = fields(&titles, false).map(str::to_string).collect();
        (Some(count), titles)
    };
    let wanted = column(&titles, attribute)?;
    let mut names = Names::default();
    let mut has = Vec::new();
    let comma = declared.is_none();
    while let Some(line) = lines.next()? {
        let mut row = fields(&line, comma);
        lines.push(&mut names, row.next().unwrap_or_default())?;
        let mut values = 0;
        for (position, value) in row.enumerate() {
            let value = match value {
                "1" => true,
                "-1" => false,
                _ => return Err(lines.fault(format!("`{value}` is neither 1 nor -1"))),
            };
            if position == wanted {
                has.push(value);
            }
            values += 1;
        }
        if values != titles.len() {
            return Err(lines.fault(format!(
                "it has {values} values for {} attributes",
                titles.len()
            )));
        }
        if declared.is_some_and(|declared| names.len() as u64 > declared) {
            return Err(lines.fault(format!(
                "it goes on after the {} files that line 1 declares",
                names.len() - 1
            )));
        }
    }
    if declared.is_some_and(|declared| declared != names.len() as u64) || has.is_empty() {
        let declared = declared.unwrap_or(1);
        return Err(lines.fault(format!(
            "line 1 declares {declared} files but {} follow: it is truncated; fetch it again",
            names.len()
        )));
    }
    lines.check_names(&mut names, 1 + usize::from(!comma))?;
    has.shrink_to_fit();
    Ok(FaceAttribute { names, has })
}

/// The position of an attribute among the titles.
fn column(titles: &[String], attribute: &str) -> Result<usize, DataError> {
    if let Some(position) = titles.iter().position(|title| title == attribute) {
        return Ok(position);
    }
    let similarity =
        |title: &str| strsim::jaro_winkler(&title.to_lowercase(), &attribute.to_lowercase());
    let near = titles
        .iter()
        .map(|title| (similarity(title), title))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|(first, _), (second, _)| first.total_cmp(second))
        .map_or(String::new(), |(_, title)| {
            format!(", did you mean `{title}`?")
        });
    // The publisher's list has 40; another file may have as many as it likes.
    let shown: Vec<String> = titles
        .iter()
        .take(40)
        .map(|title| title.chars().take(40).collect())
        .collect();
    Err(DataError::Setting {
        key: "attribute",
        reason: format!(
            "CelebA has no attribute `{attribute}`{near} It has: {}",
            shown.join(", ")
        ),
    })
}

fn partition(mut lines: Lines<'_>) -> Result<Partition, DataError> {
    let mut names = Names::default();
    let mut parts = Vec::new();
    let mut comma = false;
    while let Some(line) = lines.next()? {
        if lines.number == 1 && line.contains(',') {
            comma = true;
            continue;
        }
        let mut row = fields(&line, comma);
        lines.push(&mut names, row.next().unwrap_or_default())?;
        parts.push(match (row.next(), row.next()) {
            (Some("0"), None) => Part::Train,
            (Some("1"), None) => Part::Validation,
            (Some("2"), None) => Part::Test,
            _ => {
                return Err(lines.fault("it is not a file's name and 0, 1 or 2"));
            }
        });
    }
    if parts.is_empty() {
        return Err(DataError::format(&lines.path, "it lists no file"));
    }
    let order = lines.check_names(&mut names, usize::from(comma))?;
    parts.shrink_to_fit();
    Ok(Partition {
        names,
        parts,
        order,
    })
}

/// The fields of a line, between commas or between spaces.
fn fields(line: &str, comma: bool) -> impl Iterator<Item = &str> {
    line.split(move |letter: char| {
        if comma {
            letter == ','
        } else {
            letter == ' ' || letter == '\t'
        }
    })
    .map(str::trim)
    .filter(move |field| comma || !field.is_empty())
}

/// The lines of a text, bounded, and what is said of them in errors.
struct Lines<'a> {
    reader: BufReader<Box<dyn Read + 'a>>,
    path: PathBuf,
    /// The number of the line last read, from 1.
    number: usize,
    taken: u64,
}

impl<'a> Lines<'a> {
    fn of_file(path: &Path) -> Result<Lines<'static>, DataError> {
        Ok(Lines::new(Source::open(path)?, path))
    }

    fn of_bytes(bytes: &'a [u8], name: &Path) -> Result<Self, DataError> {
        let source = Source::new(bytes, bytes.len() as u64, name)?;
        Ok(Self::new(source, name))
    }

    fn new(source: Source<'a>, path: &Path) -> Self {
        Self {
            reader: BufReader::new(source.reader),
            path: path.to_path_buf(),
            number: 0,
            taken: 0,
        }
    }

    /// The next line without its end; none at the end of the text, behind which there may be empty lines.
    fn next(&mut self) -> Result<Option<String>, DataError> {
        let Some(line) = self.any_line()? else {
            return Ok(None);
        };
        if !line.trim().is_empty() {
            return Ok(Some(line));
        }
        let empty = self.number;
        while let Some(line) = self.any_line()? {
            if !line.trim().is_empty() {
                self.number = empty;
                return Err(self.fault("it is empty"));
            }
        }
        Ok(None)
    }

    fn any_line(&mut self) -> Result<Option<String>, DataError> {
        let mut line = Vec::new();
        (&mut self.reader)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .map_err(|source| DataError::read(&self.path, source))?;
        if line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        self.taken += line.len() as u64;
        if self.taken > MAX_BYTES || line.len() as u64 == MAX_LINE {
            return Err(self.fault("it is too long for a list of CelebA's"));
        }
        match String::from_utf8(line) {
            Ok(line) => Ok(Some(line.trim_end().to_string())),
            Err(error) => Err(self.fault(error)),
        }
    }

    /// Adds the name of a file, which must be nothing more than that: it is looked for in the folder of images.
    fn push(&self, names: &mut Names, name: &str) -> Result<(), DataError> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', ':', '\0']) {
            return Err(self.fault(format!("`{name}` is not the name of a file")));
        }
        names
            .push(name)
            .ok_or_else(|| self.fault("the names exceed 4 GiB"))
    }

    /// Refuses a file listed twice; `titles` lines came before the first. Returns the names' order.
    fn check_names(&self, names: &mut Names, titles: usize) -> Result<Vec<u32>, DataError> {
        names.shrink();
        let order = names.sorted();
        match names.repeated(&order) {
            None => Ok(order),
            Some((first, second)) => Err(DataError::format(
                &self.path,
                format!(
                    "line {}: `{}` was already listed in line {}",
                    titles + second + 1,
                    names.get(second).unwrap_or_default(),
                    titles + first + 1
                ),
            )),
        }
    }

    fn fault(&self, reason: impl std::fmt::Display) -> DataError {
        DataError::format(&self.path, format!("line {}: {reason}", self.number))
    }
}
