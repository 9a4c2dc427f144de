//! The real binary, run in temporary folders, on data and networks small enough for seconds.
//!
//! One test binary for all topics: each further one would link the whole program again.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod abstain;
mod bad_input;
mod bench;
mod compare;
mod concepts;
mod cues;
mod data;
mod devices;
mod errors;
mod explain;
mod judge;
mod measure;
mod plugin;
mod protopnet;
mod report;
mod reproduce;
mod resnet;
mod resume;
mod support;
mod third_party_encoder;
mod train;
mod weights;
mod zoo;
