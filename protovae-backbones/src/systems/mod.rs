//! The systems that ProtoVAE is compared with, and its successors, as models of the same trainer.
//!
//! Each is one file: a module that implements [`Model`](protovae_core::model::Model), and its recipe. They share encoders,
//! layers, losses, loader, trainer, checkpoints, report and measures with ProtoVAE.
