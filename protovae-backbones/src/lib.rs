//! Encoders, decoders and heads for ProtoVAE, and the CPU kernels under them.

#[allow(unsafe_code)]
pub mod kernels;
