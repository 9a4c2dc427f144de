//! What holds for every recipe and every module, whatever it computes.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;

use super::inputs::uniform;
use super::state::State;
use super::subject::Subject;
use super::{SAMPLES, SEED};
use crate::error::Result;
use crate::random::Initializer;

/// Writes a recipe as JSON and reads it back.
pub(super) fn round_trip<C: ?Sized + serde::Serialize, B>(
    subject: &Subject,
    config: &C,
) -> Result<B>
where
    B: serde::Serialize + serde::de::DeserializeOwned,
{
    let broken =
        |what: &str, error: &dyn std::fmt::Display| subject.fails(format!("JSON: {what}: {error}"));
    let written =
        serde_json::to_value(config).map_err(|error| broken("cannot be written", &error))?;
    subject.require(written.get("type").is_some_and(Value::is_string), || {
        format!("JSON: expected an object with a `type`, found {written}")
    })?;
    let read: B = serde_json::from_value(written.clone())
        .map_err(|error| broken("cannot be read back", &error))?;
    let again = serde_json::to_value(&read).map_err(|error| broken("cannot be written", &error))?;
    subject.require(again == written, || {
        format!("JSON: expected {written} after reading it back, found {again}")
    })?;
    Ok(read)
}

/// What holds for every recipe: the same seed builds the same weights, also after a round trip through JSON, on the
/// device of the `Initializer`. Gives a module to train and the name it is reported under.
pub(super) fn built<M: Module>(
    plugin: &'static str,
    build: &dyn Fn(&mut Initializer) -> Result<M>,
    rebuild: &dyn Fn(&Subject, &mut Initializer) -> Result<M>,
    name: &dyn Fn(&M) -> &'static str,
) -> Result<(Subject, M)> {
    let device = Device::flex().autodiff();
    let init = || Initializer::new(SEED, &device);
    let module = build(&mut init())?;
    let subject = Subject {
        plugin,
        name: name(&module).to_string(),
    };
    let state = State::of(&module);
    subject.state(
        "the same seed builds the same weights",
        &state,
        &build(&mut init())?,
    )?;
    subject.state(
        "the recipe read back from JSON builds the same weights",
        &state,
        &rebuild(&subject, &mut init())?,
    )?;
    // Without autodiff a parameter takes part in training, but is silently never trained.
    subject.require(state.plain.is_empty(), || {
        format!(
            "device: expected all parameters on that of the `Initializer`, with autodiff, found {:?} without",
            state.plain
        )
    })?;
    for found in module.devices() {
        subject.require(found == device, || {
            format!("device: expected all parameters on {device:?}, found {found:?}")
        })?;
    }
    Ok((subject, module))
}

/// Checks and gives the values of each output, by name: of what, of which module, for which input of how many samples, on
/// which device.
type Apply<'a, M, I> =
    dyn Fn(&str, &M, I, usize, &Device) -> Result<Vec<(&'static str, Vec<f32>)>> + 'a;

/// Moves every trained parameter a little, so that no bias hides behind its initial zero.
struct Nudge {
    index: u64,
}

impl ModuleMapper for Nudge {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.index += 1;
        let index = self.index;
        if !param.val().is_require_grad() {
            return param;
        }
        param.map(|old| {
            let shape = old.dims();
            let noise = uniform(shape.iter().product(), 1000 + index);
            let noise = Tensor::from_data(TensorData::new(noise, shape), &old.device());
            (old + noise * 0.02).detach().require_grad()
        })
    }
}

fn nudged<M: Module>(module: M) -> M {
    module.map(&mut Nudge { index: 0 })
}

/// Runs `apply` on batches of [`SAMPLES`] and of one, in training and in evaluation, and checks what holds for every
/// module: evaluation leaves it as it is, repeats itself, and treats each sample by itself.
///
/// `apply` checks and gives the values of each output, sample by sample. Gives the module in evaluation, moved away from
/// its initial weights.
pub(super) fn exercised<M: Module, I>(
    subject: &Subject,
    module: M,
    inputs: &dyn Fn(usize, &Device) -> I,
    pick: &dyn Fn(&I, usize) -> I,
    apply: &Apply<'_, M, I>,
) -> Result<M> {
    let plain = Device::flex();
    let autodiff = plain.clone().autodiff();
    let module = nudged(module);
    apply(
        "training, N = 3",
        &module,
        inputs(SAMPLES, &autodiff),
        SAMPLES,
        &autodiff,
    )?;
    apply(
        "training, N = 1",
        &module,
        inputs(1, &autodiff),
        1,
        &autodiff,
    )?;
    let module = module.valid();
    let before = State::of(&module);
    let all = inputs(SAMPLES, &plain);
    let whole = apply(
        "evaluation, N = 3",
        &module,
        pick(&all, SAMPLES),
        SAMPLES,
        &plain,
    )?;
    subject.state("evaluation does not change the module", &before, &module)?;
    let again = apply(
        "evaluation, N = 3",
        &module,
        pick(&all, SAMPLES),
        SAMPLES,
        &plain,
    )?;
    for ((what, first), (_, second)) in whole.iter().zip(&again) {
        subject.same(&format!("{what}: the same call twice"), first, second)?;
    }
    for sample in 0..SAMPLES {
        let alone = apply("evaluation, N = 1", &module, pick(&all, sample), 1, &plain)?;
        for ((what, whole), (_, alone)) in whole.iter().zip(&alone) {
            let width = whole.len() / SAMPLES;
            subject.same(
                &format!("{what}: sample {sample} alone and in a batch of {SAMPLES}"),
                &whole[sample * width..(sample + 1) * width],
                alone,
            )?;
        }
    }
    subject.state("evaluation does not change the module", &before, &module)?;
    Ok(module)
}

/// Sample `sample` alone, or all for [`SAMPLES`].
pub(super) fn pick<const D: usize>(all: &Tensor<D>, sample: usize) -> Tensor<D> {
    if sample == SAMPLES {
        all.clone()
    } else {
        all.clone().narrow(0, sample, 1)
    }
}
