//! Tests of the kernels: what they compute, and that it depends on nothing that it should not depend on.
//!
//! [`cases`] describes an operation with its shapes and runs it by the kernels or by burn's own operations; [`reference`]
//! is the same arithmetic once more, naively and in twice the precision.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agreement;
mod cases;
mod chains;
mod differences;
mod maps;
mod memory;
mod nan;
mod networks;
mod pullback;
mod reference;
mod residual;
mod single;
mod threads;
mod values;
mod views;
