//! In what the layers of a network compute while it is trained.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{FloatDType, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The floating-point numbers in which the layers of encoders and decoders compute in training.
///
/// Weights, their gradients, the optimizer's state, normalisation, prototypes, similarities and losses are of 32 bits in any
/// case, and so is everything in evaluation.
///
/// ```
/// use burn::tensor::{DType, Device, Tensor};
/// use protovae_core::Precision;
/// let third = Tensor::<1>::from_floats([1.0 / 3.0], &Device::flex());
/// let low = Precision::Bf16.lower(third.clone());
/// assert_eq!(low.dtype(), DType::BF16);
/// assert_eq!(Precision::raise(low).into_scalar::<f32>(), 0.333_984_38);
/// assert_eq!(Precision::F32.lower(third).dtype(), DType::F32);
/// assert_eq!("bf16".parse::<Precision>()?, Precision::Bf16);
/// # Ok::<(), protovae_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits with the range of 32 and the precision of three decimal places less.
    Bf16,
    /// 16 bits with a smaller range: losses are scaled so that small gradients do not vanish.
    F16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::F16];

    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// Whether it is less than 32 bits.
    pub fn is_lower(self) -> bool {
        self != Self::F32
    }

    /// burn's name for it.
    pub fn float(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::Bf16 => FloatDType::BF16,
            Self::F16 => FloatDType::F16,
        }
    }

    /// A tensor in this precision, as input for layers; as it is for [`F32`](Self::F32).
    pub fn lower<const D: usize>(self, tensor: Tensor<D>) -> Tensor<D> {
        if self.is_lower() {
            tensor.cast(self.float())
        } else {
            tensor
        }
    }

    /// What layers gave, in 32 bits if it is of fewer.
    pub fn raise<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
        if [Self::Bf16, Self::F16]
            .into_iter()
            .any(|lower| tensor.dtype() == lower.float().into())
        {
            tensor.cast(FloatDType::F32)
        } else {
            tensor
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|one| one.name() == text);
        found.ok_or_else(|| {
            let reason = format!("must be f32, bf16 or f16, not {text}");
            Error::config("training.precision", reason)
        })
    }
}
