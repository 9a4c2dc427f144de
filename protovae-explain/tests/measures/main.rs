//! The measures, on a model and on maps small enough for pencil and paper.
#![allow(clippy::unwrap_used)]

mod by_hand;
mod comparison;
mod cue;
mod sharpness;
mod support;
