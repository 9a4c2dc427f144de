//! The four traits through which users bring parts of their own, and their configurations.
//!
//! A plugin is a burn module (`#[derive(Module, Debug)]`) that implements [`Encoder`], [`Decoder`] or [`PrototypeHead`],
//! and a serde struct that implements the matching configuration trait under a tag, with
//! `#[typetag::serde(name = "...")]`. A JSON configuration then names it by `"type"`. [`Explainer`]s are plain values.
//! [`crate::conformance`] checks every promise made here.

mod decoder;
mod encoder;
mod explainer;
mod features;
mod head;
mod layer;

pub use decoder::{BoxDecoder, Decoder, DecoderConfig, DecoderSpec};
pub use encoder::{BoxEncoder, Encoder, EncoderConfig, EncoderSpec, Posterior};
pub use explainer::{Explainer, ExplainerConfig, Explanation, Target};
pub use features::{BoxFeatures, FeatureExtractor};
pub use head::{
    BoxHead, HeadConfig, HeadOutput, HeadSpec, PrototypeBank, PrototypeHead, without_columns,
};
pub use layer::{Activation, LayerView};

#[doc(hidden)]
pub use {
    decoder::DecoderObject, encoder::EncoderObject, features::FeaturesObject, head::HeadObject,
};
