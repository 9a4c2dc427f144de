//! A batch in parts: one after the other, to need less memory, or on several devices at once.
//!
//! The gradient of a batch is the mean of those of its parts, weighted by their samples: for terms that are means over
//! samples, and for terms that do not depend on the batch at all, which come in once in all. What depends on the batch as a
//! whole (batch normalisation) sees a part instead.

use std::collections::HashSet;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;

use super::Batch;
use super::metrics::DeviceFigures;
use crate::device::on_workers;
use crate::model::{BoxModel, Mode};
use crate::precision::Precision;

/// What is to be computed of each part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// In what the layers compute.
    pub(super) precision: Precision,
    /// The loss is multiplied by this before its gradient is taken.
    pub(super) scale: f64,
    /// Whether the figures are wanted besides.
    pub(super) figures: bool,
}

/// What a step needs of a batch.
pub(super) struct Found {
    /// Of the parameters, on the model's device.
    pub(super) gradients: GradientsParams,
    /// If wanted.
    pub(super) figures: Option<DeviceFigures>,
}

/// Gradients and figures of a batch that is one part on the model's own device; running statistics follow it.
pub(super) fn whole(model: &BoxModel, batch: &Batch, wanted: Wanted) -> Found {
    let batch = Batch {
        precision: wanted.precision,
        ..batch.clone()
    };
    let output = model.losses(&batch, Mode::Training);
    let total = output.total();
    let figures = wanted
        .figures
        .then(|| DeviceFigures::new(&batch, &output, &total));
    drop(output);
    let scaled = if wanted.scale == 1.0 {
        total
    } else {
        total * wanted.scale
    };
    let gradients = GradientsParams::from_grads(scaled.backward(), model);
    Found { gradients, figures }
}

/// Gradients and figures of a batch in parts, each on the device of its images. The running statistics move once, by the mean of
/// what they would move by with each part.
///
/// Part `i` is computed by thread `i` modulo `threads`; sums are taken in the parts' order, so that it makes no difference by which.
pub(super) fn summed(
    model: BoxModel,
    parts: &[Batch],
    threads: usize,
    wanted: Wanted,
) -> (BoxModel, Found) {
    let samples: usize = parts.iter().map(|part| part.indices.len()).sum();
    let buffers = Buffers::of(&model);
    let ids = &buffers.ids;
    let compute = |part: &Batch| {
        let share = part.indices.len() as f64 / samples.max(1) as f64;
        let wanted = Wanted {
            scale: wanted.scale * share,
            ..wanted
        };
        on_workers(&part.images.device(), || {
            Part::compute(&model, part, share, wanted, ids)
        })
    };
    let mut sum = Sum::default();
    if threads <= 1 {
        for part in parts {
            sum.add(&model, &buffers, compute(part));
        }
    } else {
        for part in side_by_side(parts, threads, compute) {
            sum.add(&model, &buffers, part);
        }
    }
    let found = Found {
        gradients: sum.gradients.grads(),
        figures: DeviceFigures::of_parts(sum.figures),
    };
    (buffers.moved(model, sum.moved), found)
}

/// What is computed of each part, in the parts' order.
fn side_by_side<T: Send>(
    parts: &[Batch],
    threads: usize,
    compute: impl Fn(&Batch) -> T + Sync,
) -> Vec<T> {
    let compute = &compute;
    let mut found: Vec<(usize, T)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.min(parts.len()))
            .map(|first| {
                scope.spawn(move || -> Vec<(usize, T)> {
                    let own = parts.iter().enumerate().skip(first).step_by(threads);
                    own.map(|(number, part)| (number, compute(part))).collect()
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(found) => found,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.flatten().collect()
    });
    found.sort_by_key(|(number, _)| *number);
    found.into_iter().map(|(_, found)| found).collect()
}

/// What one part gives.
struct Part {
    found: Found,
    /// Its share of the batch's samples.
    share: f64,
    /// The buffers afterwards.
    buffers: GradientsParams,
}

impl Part {
    /// By a copy of the model on the part's device, with running statistics of its own.
    fn compute(
        model: &BoxModel,
        part: &Batch,
        share: f64,
        wanted: Wanted,
        buffers: &HashSet<ParamId>,
    ) -> Self {
        let device = part.images.device().without_autodiff();
        let copy = model.valid().to_device(&device).train();
        let found = whole(&copy, part, wanted);
        Self {
            found,
            share,
            buffers: values(&copy, buffers),
        }
    }
}

/// Parts added up.
#[derive(Default)]
struct Sum {
    gradients: GradientsAccumulator<BoxModel>,
    figures: Vec<DeviceFigures>,
    /// By how much buffers are to move.
    moved: GradientsParams,
}

impl Sum {
    fn add(&mut self, model: &BoxModel, buffers: &Buffers, part: Part) {
        let Found { gradients, figures } = part.found;
        let gradients = match model.devices().first() {
            Some(device) => gradients.to_device(&device.clone().without_autodiff(), model),
            None => gradients,
        };
        self.gradients.accumulate(model, gradients);
        self.figures.extend(figures);
        buffers.add(model, &mut self.moved, part.buffers, part.share);
    }
}

/// The values of a model that no gradient changes: running statistics, which its forward pass moves, and what is frozen.
struct Buffers {
    ids: HashSet<ParamId>,
    /// Before the step, without autodiff.
    before: GradientsParams,
}

impl Buffers {
    fn of(model: &BoxModel) -> Self {
        struct Ids(HashSet<ParamId>);
        impl ModuleVisitor for Ids {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if !param.val().is_require_grad() {
                    self.0.insert(param.id);
                }
            }
        }
        let mut ids = Ids(HashSet::new());
        model.visit(&mut ids);
        Self {
            before: values(model, &ids.0),
            ids: ids.0,
        }
    }

    /// Adds to `moved` by how much `after` lies from before, times `share`.
    fn add(
        &self,
        model: &BoxModel,
        moved: &mut GradientsParams,
        after: GradientsParams,
        share: f64,
    ) {
        struct Add<'a> {
            before: &'a GradientsParams,
            after: GradientsParams,
            moved: &'a mut GradientsParams,
            share: f64,
        }
        impl ModuleVisitor for Add<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let before = self.before.get::<D>(param.id);
                let Some((before, after)) = before.zip(self.after.remove::<D>(param.id)) else {
                    return;
                };
                let step = (after.to_device(&before.device()) - before) * self.share;
                let sum = match self.moved.remove::<D>(param.id) {
                    Some(moved) => moved + step,
                    None => step,
                };
                self.moved.register(param.id, sum);
            }
        }
        model.visit(&mut Add {
            before: &self.before,
            after,
            moved,
            share,
        });
    }

    /// The model with its buffers moved by so much.
    fn moved(mut self, model: BoxModel, moved: GradientsParams) -> BoxModel {
        struct Move<'a> {
            before: &'a mut GradientsParams,
            moved: GradientsParams,
        }
        impl ModuleMapper for Move<'_> {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let before = self.before.remove::<D>(param.id);
                match before.zip(self.moved.remove::<D>(param.id)) {
                    Some((before, step)) => {
                        param.map(|_| Tensor::from_inner(before + step).set_require_grad(false))
                    }
                    None => param,
                }
            }
        }
        model.map(&mut Move {
            before: &mut self.before,
            moved,
        })
    }
}

/// Values of a model by their ids, without autodiff.
fn values(model: &BoxModel, ids: &HashSet<ParamId>) -> GradientsParams {
    struct Values<'a>(&'a HashSet<ParamId>, GradientsParams);
    impl ModuleVisitor for Values<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.0.contains(&param.id) {
                self.1.register(param.id, param.val());
            }
        }
    }
    let mut values = Values(ids, GradientsParams::new());
    // `valid` brings running statistics that lag behind up to date.
    model.valid().visit(&mut values);
    values.1
}
