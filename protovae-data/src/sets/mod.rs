//! The data sets this crate knows, each a config that a file names by its `type`.

mod celeba;
mod cifar10;
mod image_folder;
mod mnist;
mod mnist5k;
mod quickdraw;
mod quickdraw_files;
mod svhn;

pub use celeba::CelebaConfig;
pub use cifar10::Cifar10Config;
pub use image_folder::{ImageFolderConfig, PictureSize};
pub(crate) use mnist::{CLOTHES, DIGITS};
pub use mnist::{FashionMnistConfig, MnistConfig};
pub use mnist5k::Mnist5kConfig;
pub use quickdraw::QuickdrawConfig;
pub(crate) use quickdraw_files::PAPER_CLASSES;
pub use svhn::SvhnConfig;

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

/// The name of a set whose files hold so many training and test images, and what to know of it if these are not the `official` ones.
fn named(
    set: &str,
    title: &str,
    found: [usize; 2],
    official: [usize; 2],
) -> (String, Option<String>) {
    if found == official {
        return (set.to_string(), None);
    }
    let note = format!(
        "These files hold {} training and {} test images where the official {title} has {} and {}: figures of them are none of \
         {title}.",
        found[0], found[1], official[0], official[1]
    );
    (
        partial_name(set, found[0].saturating_add(found[1])),
        Some(note),
    )
}

/// The name of a set with other counts than the official one, so that figures on it are not taken for figures on that:
/// `svhn-10k` for 10,000 images, `svhn-1234` for 1,234.
fn partial_name(set: &str, images: usize) -> String {
    format!("{set}-{}", shortened(images))
}

/// Whole thousands as `10k`, any other number as it is.
fn shortened(count: usize) -> String {
    if count > 0 && count.is_multiple_of(1000) {
        format!("{}k", count / 1000)
    } else {
        count.to_string()
    }
}
