//! Training: batches, the loop, metrics, run directories, checkpoints and model files.
//!
//! The trainer knows [`Model`](crate::model::Model), not a particular one. Epoch order, noise and weights are pure functions
//! of the seed, so a run that is killed and resumed repeats the uninterrupted one exactly.

mod adam;
mod batch;
mod checkpoint;
mod config;
mod evaluate;
mod files;
mod health;
mod learner;
mod loss_scale;
mod metrics;
mod model_file;
mod narrow;
mod parts;
mod rates;
mod run_contents;
mod run_directory;
mod run_lock;
mod soundness;
mod staged_run;
mod trainer;

pub use batch::{Batch, BatchSource, EpochBatches, HostBatch, InMemorySource};
pub use checkpoint::newest_checkpoint;
pub use config::TrainingConfig;
pub use evaluate::{Evaluation, evaluate};
pub use files::write_atomically;
pub use health::{COLLAPSED_BELOW, PrototypeHealth};
pub use learner::Learner;
pub use metrics::{EpochRecord, Figures, MetricsLine, Timing};
pub use model_file::{
    ModelCard, WeightsOrigin, load_model, parse_model, read_card, save_model, save_model_as,
};
pub use run_directory::RunDirectory;
pub use staged_run::StagedRun;
pub use trainer::{Event, Observer, Silent, Trained, Trainer};
