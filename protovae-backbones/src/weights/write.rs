//! Models as other programs name and lay them out.

use std::collections::HashMap;

use protovae_core::model::BoxModel;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};

use super::error::WeightsError;
use super::evaluated;
use super::layout::Layout;
use super::matching::transposed;
use super::names::{Structure, slots};
use super::parameters::Parameter;

/// A tensor to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row by row.
    pub values: Vec<f32>,
}

/// The tensors of a model under a layout's names, in its shapes.
///
/// With [`Layout::Reference2022`] there is `ones` as well, a constant that the released code demands of its checkpoints.
/// Nothing counts batches (`num_batches_tracked`); PyTorch does without when it loads.
///
/// # Errors
/// [`WeightsError::Unsuited`] if the model cannot have this layout.
pub fn export(model: &BoxModel, layout: Layout) -> Result<Vec<NamedTensor>, WeightsError> {
    let (parameters, values): (Vec<Parameter>, Vec<Vec<f32>>) =
        evaluated(model).into_iter().unzip();
    let structure = Structure::of(model);
    let slots = slots(&parameters, layout, &structure)?;
    if layout == Layout::Torchvision && structure.resnets.len() > 1 {
        return Err(WeightsError::Unsuited {
            layout,
            reason: "it has several ResNet-18, of which a file of this layout holds one"
                .to_string(),
        });
    }
    let mut by_path: HashMap<String, Vec<f32>> = parameters
        .into_iter()
        .map(|parameter| parameter.path)
        .zip(values)
        .collect();
    let mut tensors = Vec::with_capacity(slots.len() + 1);
    for slot in slots {
        let values = by_path.remove(&slot.path).unwrap_or_default();
        let values = match (slot.transposed, slot.shape.as_slice()) {
            (true, [rows, columns]) => transposed(&values, *columns, *rows),
            _ => values,
        };
        if layout == Layout::Reference2022 && slot.name == "prototype_vectors" {
            tensors.push(NamedTensor {
                name: "ones".to_string(),
                shape: slot.shape.clone(),
                values: vec![1.0; values.len()],
            });
        }
        tensors.push(NamedTensor {
            name: slot.name,
            shape: slot.shape,
            values,
        });
    }
    Ok(tensors)
}

/// The bytes of a safetensors file, the same for the same tensors, with at most one entry of metadata.
///
/// # Errors
/// [`WeightsError::Write`] if a tensor's values are not as many as its shape says.
pub fn to_safetensors(
    tensors: &[NamedTensor],
    metadata: Option<(&str, &str)>,
) -> Result<Vec<u8>, WeightsError> {
    let failed = |error: safetensors::SafeTensorError| WeightsError::Write(error.to_string());
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|tensor| tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let mut views = Vec::with_capacity(tensors.len());
    for (tensor, bytes) in tensors.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map_err(failed)?;
        views.push((tensor.name.as_str(), view));
    }
    // More than one entry would be written in the order of a randomly seeded map.
    let metadata = metadata.map(|(key, value)| HashMap::from([(key.into(), value.into())]));
    serialize(views, metadata).map_err(failed)
}
