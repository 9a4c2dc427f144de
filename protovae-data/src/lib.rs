#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod archive;
mod archive_index;
mod augment;
mod bounded;
mod catalogue;
pub mod celeba;
pub mod cifar;
mod cifar_archive;
mod class_folders;
mod config;
mod contact_sheet;
#[cfg(feature = "core")]
mod core_source;
mod cue;
mod dataset;
mod digest;
mod error;
#[cfg(feature = "fetch")]
mod fetch;
pub mod idx;
mod loader;
pub mod mat;
mod mat_array;
mod names;
pub mod npy;
mod npy_header;
mod on_disk;
pub mod picture;
mod resize;
mod search;
mod sets;
mod splits;
mod statistics;
mod verify;

pub use augment::{Adjustment, AugmentationConfig, AugmentationDraw, ColorJitterConfig};
pub use catalogue::{PublishedFile, PublishedSet, catalogue, published};
pub use config::{DataConfig, known_types};
pub use contact_sheet::{MAX_SHEET_SIDE, contact_sheet, save_png};
pub use cue::{Corner, CueConfig, CuePatch, PlantedDataset};
pub use dataset::{Dataset, ImageShape, InMemoryDataset};
pub use error::DataError;
#[cfg(feature = "fetch")]
pub use fetch::{FetchOptions, Progress, Step, fetch, take_from};
pub use loader::{EpochBatches, HostBatch, Loader, LoaderConfig, Order, permutation};
pub use on_disk::PictureDataset;
pub use picture::read_picture;
pub use search::DataSearch;
pub use sets::{
    CelebaConfig, Cifar10Config, FashionMnistConfig, ImageFolderConfig, Mnist5kConfig, MnistConfig,
    PictureSize, QuickdrawConfig, SvhnConfig,
};
pub use splits::DataSplits;
pub use statistics::{SetStatistics, statistics};
pub use verify::{Check, Verification, verify, verify_splits};
