//! Relevance propagation: rules by hand, canonisation, conservation, batches.
#![allow(clippy::unwrap_used)]

mod by_hand;
mod conservation;
mod explainer;
mod golden;
mod networks;
mod support;
