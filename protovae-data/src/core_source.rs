//! The loader as a batch source of `protovae-core`'s trainer.

use std::time::Duration;

use protovae_core::train::{BatchSource, EpochBatches as CoreEpochBatches, HostBatch};

use crate::loader::{EpochBatches, Loader};

struct Adapter(EpochBatches);

impl Iterator for Adapter {
    type Item = protovae_core::Result<HostBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.0.next()?;
        Some(match batch {
            Ok(batch) => Ok(HostBatch {
                images: batch.images,
                labels: batch.labels,
                indices: batch.indices,
                shape: protovae_core::ImageShape::new(
                    batch.shape.channels,
                    batch.shape.height,
                    batch.shape.width,
                ),
            }),
            Err(error) => Err(protovae_core::Error::Data(Box::new(error))),
        })
    }
}

impl CoreEpochBatches for Adapter {
    fn waited(&self) -> Duration {
        self.0.waited()
    }
}

impl BatchSource for Loader {
    fn samples(&self) -> usize {
        self.dataset().len()
    }

    fn batches(&self) -> usize {
        Loader::batches(self)
    }

    fn epoch(
        &self,
        epoch: u64,
        first: usize,
    ) -> protovae_core::Result<Box<dyn CoreEpochBatches + '_>> {
        Ok(Box::new(Adapter(Loader::epoch(self, epoch, first))))
    }
}
