//! The tables and figures of the paper by name: what is run for each, how it is run, and what is made of it.
//!
//! * `items`: each table and figure as runs, with the numbers that the paper has;
//! * `plan`: the runs of an item for so many seeds, and how a budget shrinks them;
//! * `pool`: runs in a folder that all items share, each begun, gone on with or skipped;
//! * `results`: means and deviations beside the paper's numbers, as Markdown, CSV and JSON;
//! * `elsewhere`: runs that other machines made, from the results that were written there;
//! * `findings`, `attacked`, `decoded`, `measured`: what is measured on the runs besides, and the tables and curves of it;
//! * `settings`: the paper's tables of settings, held against the presets;
//! * `course`: accuracies epoch by epoch;
//! * `pictures`: the figures;
//! * `slurm`: runs as the tasks of a job array.

mod attacked;
mod course;
mod decoded;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod documented;
pub mod elsewhere;
pub mod findings;
pub mod items;
pub mod measured;
pub mod pictures;
pub mod plan;
pub mod pool;
pub mod results;
pub mod settings;
pub mod slurm;
