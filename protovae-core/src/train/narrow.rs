//! Weights in fewer bits, for files.

use std::collections::HashSet;
use std::sync::Arc;

use burn::store::burn_pack::Tensor as PackTensor;
use burn::store::{ModuleAdapter, ModuleContext, ModuleSnapshot, bridge};
use burn::tensor::{DType, FloatDType, TensorData};

use crate::error::{Error, Result};
use crate::model::BoxModel;
use crate::precision::Precision;

/// Whole numbers up to this are exact in single precision, so they may be counts or places rather than weights.
const WHOLE: f32 = 16_777_216.0;

/// Stores the tensors it was made for in another type, and all others as they are.
#[derive(Debug, Clone)]
pub(super) struct Narrow {
    to: DType,
    names: Arc<HashSet<String>>,
}

impl Narrow {
    /// For all floating-point tensors of a model, except for those of whole numbers that `precision` would round: places in
    /// a data set are kept as floats too.
    ///
    /// # Errors
    /// [`Error::Config`] naming a tensor with a value beyond the range.
    pub(super) fn of(model: &BoxModel, precision: Precision) -> Result<Self> {
        let to = DType::from(precision.float());
        let mut names = HashSet::new();
        if precision.is_lower() {
            for tensor in model.collect(None, None, false) {
                if !tensor.dtype.is_float() || tensor.dtype.size() <= to.size() {
                    continue;
                }
                let name = tensor.name.clone();
                let data = bridge::into_data(tensor)
                    .map_err(|error| Error::config("precision", format!("{name}: {error}")))?;
                if fits(&name, data, precision)? {
                    names.insert(name);
                }
            }
        }
        Ok(Self {
            to,
            names: Arc::new(names),
        })
    }
}

/// Whether a tensor is to be stored in `precision`.
fn fits(name: &str, data: TensorData, precision: Precision) -> Result<bool> {
    let narrowed = data.clone().convert_dtype(precision.float().into());
    let mut whole = true;
    let mut changed = false;
    let mut beyond = None;
    for (value, stored) in data.iter::<f32>().zip(narrowed.iter::<f32>()) {
        whole &= value.fract() == 0.0 && value.abs() <= WHOLE;
        changed |= value != stored;
        if value.is_finite() && !stored.is_finite() {
            beyond = Some(value);
        }
    }
    if whole && changed {
        return Ok(false);
    }
    match beyond {
        None => Ok(true),
        Some(value) => {
            let others = Precision::ALL.iter().filter(|other| **other != precision);
            let others: Vec<&str> = others.map(|other| other.name()).collect();
            Err(Error::config(
                "precision",
                format!(
                    "the tensor `{name}` holds {value:e}, which is beyond the range of {}; choose {}",
                    precision.name(),
                    others.join(" or ")
                ),
            ))
        }
    }
}

impl ModuleAdapter for Narrow {
    fn adapt(&self, tensor: PackTensor, _context: ModuleContext<'_>) -> PackTensor {
        if !self.names.contains(&tensor.name) {
            return tensor;
        }
        let (name, shape, to) = (tensor.name.clone(), tensor.shape.clone(), self.to);
        bridge::map_data(tensor, name, to, shape, move |data| data.convert_dtype(to))
    }

    fn clone_box(&self) -> Box<dyn ModuleAdapter> {
        Box::new(self.clone())
    }
}

/// The type that models compute in, whatever a file stores.
pub(super) fn computed() -> DType {
    FloatDType::F32.into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judged(values: &[f32], precision: Precision) -> Result<bool> {
        let data = TensorData::new(values.to_vec(), [values.len()]);
        fits("some.weight", data, precision)
    }

    #[test]
    fn values_beyond_the_range_are_an_error_and_those_at_its_end_are_not() {
        assert!(judged(&[0.5, -65504.0], Precision::F16).unwrap());
        // Half a unit above the largest number rounds down to it, and what is above that half does not.
        assert!(judged(&[0.5, 65519.9], Precision::F16).unwrap());
        for value in [65520.0, -1e5, 3e38] {
            let message = judged(&[0.5, value], Precision::F16)
                .unwrap_err()
                .to_string();
            assert!(
                message.contains("some.weight") && message.contains("f32 or bf16"),
                "{message}"
            );
        }
        assert!(judged(&[0.5, 1e30], Precision::Bf16).unwrap());
        assert!(judged(&[0.5, f32::MAX], Precision::Bf16).is_err());
        // What was no number before is none of the format's fault.
        assert!(judged(&[f32::INFINITY, f32::NAN, 0.5], Precision::F16).unwrap());
    }

    #[test]
    fn whole_numbers_are_rounded_never() {
        assert!(judged(&[0.0, 1.0, 2048.0], Precision::F16).unwrap());
        assert!(!judged(&[1.0, 59_999.0, 0.0], Precision::F16).unwrap());
        assert!(!judged(&[1_048_575.0], Precision::F16).unwrap());
        assert!(judged(&[0.5, 59_999.0], Precision::F16).unwrap());
    }

    /// The distance to the next number of that many bits behind the point, `least` for the smallest ones.
    fn unit(value: f32, bits: i32, least: i32) -> f64 {
        let exponent = if value == 0.0 {
            least
        } else {
            f64::from(value.abs()).log2().floor() as i32 - bits
        };
        2f64.powi(exponent.max(least))
    }

    proptest! {
        #[test]
        fn rounding_is_to_the_nearest(mantissa in -1.0f32..1.0, exponent in -30i32..16) {
            let value = mantissa * 2f32.powi(exponent);
            for (precision, bits, least) in [(Precision::F16, 10, -24), (Precision::Bf16, 7, -133)] {
                let data = TensorData::new(vec![value], [1]);
                let stored = data.convert_dtype(precision.float().into()).convert_dtype(DType::F32);
                let stored = stored.iter::<f32>().next().unwrap();
                let error = (f64::from(stored) - f64::from(value)).abs();
                prop_assert!(error <= unit(value, bits, least) / 2.0, "{value:e} became {stored:e}");
            }
        }
    }
}
