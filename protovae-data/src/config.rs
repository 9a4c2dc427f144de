//! Configs of data sets as plugins: a config file names a set by its `type`.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapDeserializer;

use crate::{DataError, DataSearch, DataSplits};

/// What a config file says about the data: which set, from where, how much of it.
///
/// A crate of yours adds a set by implementing this trait for a serde struct under `#[typetag::serde(name = "my-set")]`
/// and `#[serde(deny_unknown_fields)]`. The program must refer to that crate (`use my_crate as _;`), or the linker drops the
/// registration.
///
/// ```
/// use protovae_data::{DataConfig, DataSearch, Dataset};
///
/// let config: Box<dyn DataConfig> = serde_json::from_str(r#"{"type": "mnist-5k", "train_limit": 100}"#)?;
/// let splits = config.load(&DataSearch::default())?;
/// assert_eq!((splits.train.len(), splits.test.len()), (100, 1000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[typetag::serde(tag = "type")]
pub trait DataConfig: fmt::Debug + Send + Sync {
    /// Reads the set into memory, looking for its files where `search` and the config say. Touches no network.
    ///
    /// # Errors
    /// [`DataError::NotFound`] where files are missing, and whatever is wrong with the files or the config's values.
    fn load(&self, search: &DataSearch) -> Result<DataSplits, DataError>;

    /// A copy, so that a whole config can be cloned.
    fn boxed_clone(&self) -> Box<dyn DataConfig>;
}

impl Clone for Box<dyn DataConfig> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}

/// Every `type` that a data config may name in this program, sorted; those of linked plugin crates included.
///
/// ```
/// assert!(protovae_data::known_types().contains(&"mnist-5k"));
/// ```
#[must_use]
pub fn known_types() -> Vec<&'static str> {
    // The registry is private to typetag, but its complaint about an unknown tag lists all names.
    let unknown = MapDeserializer::<_, KnownTags>::new([("type", "\0")].into_iter());
    let mut names = match <Box<dyn DataConfig>>::deserialize(unknown) {
        Err(KnownTags(names)) => names,
        Ok(_) => Vec::new(),
    };
    names.sort_unstable();
    names
}

/// A deserialisation error that keeps only the list of known tags.
#[derive(Debug)]
struct KnownTags(Vec<&'static str>);

impl fmt::Display for KnownTags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "known: {}", self.0.join(", "))
    }
}

impl std::error::Error for KnownTags {}

impl serde::de::Error for KnownTags {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(Vec::new())
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(expected.to_vec())
    }
}
