//! Sets whose names are reserved and whose formats a later version reads.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check_limits;
use crate::{DataConfig, DataError, DataSearch, DataSplits};

/// `svhn`: house numbers, 3×32×32. **Not read yet**: [`DataConfig::load`] returns [`DataError::Unsupported`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SvhnConfig {
    /// The folder of the files, instead of those that [`DataSearch`] names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Use at most the first so many training images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Use at most the first so many test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
}

#[typetag::serde(name = "svhn")]
impl DataConfig for SvhnConfig {
    fn load(&self, _: &DataSearch) -> Result<DataSplits, DataError> {
        check_limits(self.train_limit, self.test_limit)?;
        Err(not_yet("svhn", "MATLAB files (train_32x32.mat)"))
    }

    fn boxed_clone(&self) -> Box<dyn DataConfig> {
        Box::new(self.clone())
    }
}

/// `quickdraw`: sketches of ten classes, 1×28×28. **Not read yet**: [`DataConfig::load`] returns
/// [`DataError::Unsupported`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuickdrawConfig {
    /// The folder of the files, instead of those that [`DataSearch`] names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Use at most the first so many training images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Use at most the first so many test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
}

#[typetag::serde(name = "quickdraw")]
impl DataConfig for QuickdrawConfig {
    fn load(&self, _: &DataSearch) -> Result<DataSplits, DataError> {
        check_limits(self.train_limit, self.test_limit)?;
        Err(not_yet("quickdraw", "NumPy files (cat.npy)"))
    }

    fn boxed_clone(&self) -> Box<dyn DataConfig> {
        Box::new(self.clone())
    }
}

fn not_yet(set: &str, format: &str) -> DataError {
    DataError::Unsupported {
        what: format!("the data set `{set}`"),
        reason: format!(
            "this version does not read its {format} yet, a later one will; use mnist-5k, mnist, fashion-mnist or cifar-10"
        ),
    }
}
