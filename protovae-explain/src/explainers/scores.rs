//! The scores that targets stand for.

use burn::tensor::{Int, Tensor, TensorData};
use protovae_core::model::{BoxModel, Prediction};
use protovae_core::plugin::Target;
use protovae_core::{Error, Result};

use crate::check::check_images;

/// Values of activations that are alive at once; more would leave the processor's cache and, with gradients, fill the memory.
const VALUES_AT_ONCE: usize = 1 << 22;

/// How many images of this shape to give a model at once. The widest activation of the usual encoders is some 32 maps of the
/// image's size.
pub(crate) fn rows_at_once(height: usize, width: usize) -> usize {
    (VALUES_AT_ONCE / height.saturating_mul(width).saturating_mul(32).max(1)).max(1)
}

/// The columns of `[logits | similarities]` that hold the scores of targets.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    columns: Vec<usize>,
    classes: usize,
    kind: &'static str,
}

impl Columns {
    /// Checks that there are images of the model's shape and targets, and that all targets exist.
    pub(super) fn new(model: &BoxModel, images: &Tensor<4>, targets: &[Target]) -> Result<Self> {
        check_images(model, images)?;
        if images.dims()[0] == 0 {
            return Err(Error::config("images", "at least one image must be given"));
        }
        if targets.is_empty() {
            return Err(Error::config(
                "targets",
                "at least one target must be named",
            ));
        }
        let kind = model.kind();
        let classes = model.classes();
        let prototypes = model
            .prototypes()
            .map_or(0, |bank| bank.classes * bank.per_class);
        let unsupported = |what| Error::Unsupported {
            model: kind.to_string(),
            what,
        };
        let column = |target: &Target| match target {
            Target::Class(class) if *class < classes => Ok(*class),
            Target::Class(_) => Err(unsupported("such class")),
            Target::Prototype(row) if *row < prototypes => Ok(classes + row),
            Target::Prototype(_) => Err(unsupported("such prototype")),
            _ => Err(unsupported("such target")),
        };
        let columns: Result<Vec<usize>> = targets.iter().map(column).collect();
        Ok(Self {
            columns: columns?,
            classes,
            kind,
        })
    }

    /// The number of targets, `T`.
    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// Logits, with similarities beside them if a target needs those: `[N, K]` or `[N, K + K·M]`.
    fn all(&self, prediction: Prediction) -> Result<Tensor<2>> {
        if self.columns.iter().all(|column| *column < self.classes) {
            return Ok(prediction.logits);
        }
        let similarities = prediction.similarities.ok_or_else(|| Error::Unsupported {
            model: self.kind.to_string(),
            what: "similarities to prototypes",
        })?;
        Ok(Tensor::cat(vec![prediction.logits, similarities], 1))
    }

    /// Scores of every target, `[N, T]`, of a prediction without autodiff.
    pub(super) fn scores(&self, prediction: Prediction) -> Result<Tensor<2>> {
        let all = self.all(prediction)?;
        let index: Vec<i64> = self.columns.iter().map(|column| *column as i64).collect();
        let index = Tensor::<1, Int>::from_data(index.as_slice(), &all.device());
        Ok(all.select(1, index))
    }

    /// The sum of one score a row, that of target `targets[row]`, for a prediction with autodiff.
    pub(super) fn sum_of(&self, prediction: Prediction, targets: &[usize]) -> Result<Tensor<1>> {
        let all = self.all(prediction)?;
        let [rows, width] = all.dims();
        // A product with zeros and ones in place of a gather: its gradient is another product.
        let mut chosen = vec![0f32; rows * width];
        for (row, target) in chosen.chunks_exact_mut(width.max(1)).zip(targets) {
            let column = self.columns.get(*target).and_then(|at| row.get_mut(*at));
            if let Some(column) = column {
                *column = 1.0;
            }
        }
        let device = all.device().without_autodiff();
        let chosen = Tensor::<2>::from_data(TensorData::new(chosen, [rows, width]), &device);
        Ok((all * Tensor::from_inner(chosen)).sum())
    }
}
