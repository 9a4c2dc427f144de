//! Pictures and charts through the public interface: pixels, sizes, and what must not be possible.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod charts;
mod panel;
mod relevance;
