//! Encoders: the small ones of Figure 1, and ResNet-18. All end in the same fully connected tail.

mod resnet;
mod small;

pub use resnet::{NormalizationMode, ResNet18, ResNet18Config, ResNet18Features};
pub use small::{ConvEncoder, ConvFeatures, PooledEncoderConfig, StridedEncoderConfig};
