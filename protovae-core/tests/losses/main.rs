//! The facts that follow from the paper's equations, each as a property of any input, in both conventions where it applies.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod config;
mod divergence;
mod finite;
mod mixture;
mod orthonormality;
mod similarity;
mod support;
