//! Figures of a model on a data set.

use burn::module::Module;
use burn::tensor::Device;

use super::health::{PrototypeHealth, count_usage};
use super::metrics::{DeviceFigures, Figures, Sums};
use super::{Batch, BatchSource};
use crate::device::on_workers;
use crate::error::Result;
use crate::model::{BoxModel, Mode};

/// What an evaluation finds.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Accuracy and every loss term.
    pub figures: Figures,
    /// `confusion[true][predicted]`.
    pub confusion: Vec<Vec<u64>>,
    /// The state of the prototypes, if the model has such.
    pub prototypes: Option<PrototypeHealth>,
}

/// Evaluates `model` on every sample of `source` (at most `max_batches` batches) in evaluation mode.
///
/// `device` is the device of the model's parameters, without autodiff.
///
/// # Errors
/// If the data cannot be read or do not fit the model.
pub fn evaluate(
    model: &BoxModel,
    source: &dyn BatchSource,
    max_batches: Option<usize>,
    device: &Device,
) -> Result<Evaluation> {
    let device = device.clone().without_autodiff();
    let model = model.valid();
    let classes = model.classes();
    let bank = model.prototypes();
    let per_class = bank.as_ref().map_or(0, |bank| bank.per_class);
    let mut usage = vec![vec![0u64; per_class]; classes];
    let mut confusion = vec![vec![0u64; classes]; classes];
    let mut sums = Sums::default();
    let batches = source.epoch(0, 0)?;
    for host in batches.take(max_batches.unwrap_or(usize::MAX)) {
        let host = host?;
        let labels: Vec<i64> = host.labels.iter().map(|label| *label as i64).collect();
        let batch = Batch::new(host, model.image_shape(), classes, 0, 0, &device)?;
        let output = on_workers(&device, || model.losses(&batch, Mode::Evaluation));
        let predicted: Vec<i64> = output
            .logits
            .clone()
            .argmax(1)
            .into_data()
            .iter::<i64>()
            .collect();
        for (label, predicted) in labels.iter().zip(predicted) {
            if let Some(cell) = confusion
                .get_mut(*label as usize)
                .and_then(|row| row.get_mut(predicted as usize))
            {
                *cell += 1;
            }
        }
        if let Some(similarities) = &output.similarities {
            count_usage(&mut usage, similarities, &labels, per_class);
        }
        let total = output.total();
        let mut pending = vec![DeviceFigures::new(&batch, &output, &total)];
        for figures in DeviceFigures::fetch(&mut pending) {
            sums.add(&figures);
        }
    }
    Ok(Evaluation {
        figures: sums.figures(),
        confusion,
        prototypes: bank.map(|bank| PrototypeHealth::measure(&bank, usage)),
    })
}
