//! The systems that ProtoVAE is compared with: their promises, identities and golden values.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod concepts;
mod k_means;
mod kmex;
mod panvae;
mod support;
