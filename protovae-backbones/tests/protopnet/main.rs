//! ProtoPNet: losses, pushes and the last layer against an independent program, promises kept, runs cut off and resumed.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod golden;
mod push;
mod recipe;
mod regions;
mod resume;
mod support;
