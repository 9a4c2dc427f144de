//! Training of a toy: it learns, repeats itself bit for bit, goes on after any crash as if there had been none, and says
//! what is wrong with damaged files.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod batches;
mod damage;
mod evaluation;
mod guards;
mod in_place;
mod learning;
mod model_file;
mod parts;
mod phases;
mod precision;
mod rates;
mod resume;
mod run_directory;
mod support;
