//! Training.

mod batch;

pub use batch::{Batch, BatchSource, EpochBatches, HostBatch, InMemorySource};
