//! Weights in and out: files as PyTorch writes them (`golden/weights.py`), every fault, and what goes out comes back.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod golden;
mod layouts;
mod support;
