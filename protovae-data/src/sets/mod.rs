//! The data sets this crate knows, each a config that a file names by its `type`.

mod cifar10;
mod mnist;
mod mnist5k;
mod planned;

pub use cifar10::Cifar10Config;
pub use mnist::{FashionMnistConfig, MnistConfig};
pub use mnist5k::Mnist5kConfig;
pub use planned::{QuickdrawConfig, SvhnConfig};

use crate::DataError;

/// Refuses limits of 0 before anything is read.
fn check_limits(train: Option<usize>, test: Option<usize>) -> Result<(), DataError> {
    for (key, limit) in [("train_limit", train), ("test_limit", test)] {
        if limit == Some(0) {
            return Err(DataError::Setting {
                key,
                reason: "0 leaves no image; leave it out to use them all".to_string(),
            });
        }
    }
    Ok(())
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
