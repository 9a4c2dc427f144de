#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bounded;
pub mod cifar;
mod config;
#[cfg(feature = "core")]
mod core_source;
mod dataset;
mod error;
pub mod idx;
mod loader;
pub mod picture;
mod search;
mod sets;
mod splits;

pub use config::{DataConfig, known_types};
pub use dataset::{Dataset, ImageShape, InMemoryDataset};
pub use error::DataError;
pub use loader::{EpochBatches, HostBatch, Loader, LoaderConfig, Order, permutation};
pub use picture::read_picture;
pub use search::DataSearch;
pub use sets::{
    Cifar10Config, FashionMnistConfig, Mnist5kConfig, MnistConfig, QuickdrawConfig, SvhnConfig,
};
pub use splits::DataSplits;
