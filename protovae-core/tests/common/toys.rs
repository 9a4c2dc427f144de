//! Toy plugins.
