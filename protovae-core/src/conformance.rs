//! Tests of the plugin traits' promises, to be called from the tests of whoever writes a plugin.
//!
//! Each function builds the plugin from its recipe on the CPU, with and without autodiff, tries every promise written on
//! its trait, and says which one is broken, what was expected and what was found. A passing check takes milliseconds for
//! a small plugin; choose a small specification.
//!
//! ```
//! use burn::module::{Module, Param};
//! use burn::tensor::Tensor;
//! use protovae_core::conformance;
//! use protovae_core::plugin::{BoxDecoder, Decoder, DecoderConfig, DecoderSpec};
//! use protovae_core::random::Initializer;
//! use protovae_core::{ImageShape, Result};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Module, Debug)]
//! struct Linear {
//!     weight: Param<Tensor<2>>,
//!     #[module(skip)]
//!     image: ImageShape,
//! }
//!
//! impl Decoder for Linear {
//!     fn decode(&self, latents: Tensor<2>) -> Tensor<4> {
//!         let [samples, _] = latents.dims();
//!         let ImageShape { channels, height, width } = self.image;
//!         latents.matmul(self.weight.val()).tanh().reshape([samples, channels, height, width])
//!     }
//! }
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! struct LinearConfig {}
//!
//! #[typetag::serde(name = "linear-decoder")]
//! impl DecoderConfig for LinearConfig {
//!     fn build(&self, spec: &DecoderSpec, init: &mut Initializer) -> Result<BoxDecoder> {
//!         let shape = [spec.latent_dimensions, spec.image.values()];
//!         Ok(BoxDecoder::new(Linear { weight: init.normal(shape, 0.0, 0.1), image: spec.image }))
//!     }
//! }
//!
//! // In a `#[test]`:
//! let spec = DecoderSpec { image: ImageShape::new(1, 4, 4), latent_dimensions: 3 };
//! conformance::decoder(&LinearConfig {}, &spec)?;
//! # Ok::<(), protovae_core::Error>(())
//! ```

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bool, Device, Gradients, Int, Tensor, TensorData};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::image_shape::ImageShape;
use crate::model::{BoxModel, Mode, ModelConfig, ModelSpec, StepOutput};
use crate::plugin::{
    BoxHead, DecoderConfig, DecoderSpec, EncoderConfig, EncoderSpec, Explainer, HeadConfig,
    HeadOutput, HeadSpec, LayerView, Target,
};
use crate::random::{Initializer, Purpose, normal_rows, stream};
use crate::train::{Batch, HostBatch};

/// Samples of the larger batch; the smaller has one.
const SAMPLES: usize = 3;

/// Two ways to compute the same may differ by this share of the largest magnitude (of 1, if that is larger).
const TOLERANCE: f32 = 1e-4;

/// The seed of everything that is drawn here.
const SEED: u64 = 20_220_815;

/// Who is being tested, for messages.
#[derive(Debug, Clone)]
struct Subject {
    plugin: &'static str,
    name: String,
}

impl Subject {
    fn fails(&self, reason: impl Into<String>) -> Error {
        Error::Contract {
            plugin: self.plugin,
            name: self.name.clone(),
            reason: reason.into(),
        }
    }

    fn require(&self, holds: bool, reason: impl FnOnce() -> String) -> Result<()> {
        if holds {
            Ok(())
        } else {
            Err(self.fails(reason()))
        }
    }

    /// Shape, device and finiteness of an output; its values.
    fn output<const D: usize>(
        &self,
        what: &str,
        found: &Tensor<D>,
        expected: [usize; D],
        device: &Device,
    ) -> Result<Vec<f32>> {
        self.require(found.dims() == expected, || {
            format!(
                "{what}: expected shape {expected:?}, found {:?}",
                found.dims()
            )
        })?;
        let on = found.device();
        self.require(on == *device, || {
            format!("{what}: expected on the device of the input, {device:?}, found on {on:?}")
        })?;
        self.require(on.is_autodiff() == device.is_autodiff(), || {
            let with = |autodiff| if autodiff { "with" } else { "without" };
            format!(
                "{what}: expected {} autodiff as the input, found {}",
                with(device.is_autodiff()),
                with(on.is_autodiff())
            )
        })?;
        let values = flat(found);
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => {
                Err(self.fails(format!("{what}: expected finite values, found {value}")))
            }
            None => Ok(values),
        }
    }

    /// Two computations of the same; `largest` sets the scale.
    fn same(&self, what: &str, expected: &[f32], found: &[f32]) -> Result<()> {
        self.require(expected.len() == found.len(), || {
            format!(
                "{what}: expected {} values, found {}",
                expected.len(),
                found.len()
            )
        })?;
        let largest = expected
            .iter()
            .fold(1f32, |most, value| most.max(value.abs()));
        let apart = expected
            .iter()
            .zip(found)
            .map(|(a, b)| ((a - b).abs(), a, b));
        let worst = apart.max_by(|a, b| a.0.total_cmp(&b.0));
        match worst {
            // A NaN is no agreement either.
            Some((error, expected, found)) if error.is_nan() || error > TOLERANCE * largest => {
                Err(self.fails(format!("{what}: expected {expected}, found {found}")))
            }
            _ => Ok(()),
        }
    }

    fn state<M: Module>(&self, what: &str, before: &State, module: &M) -> Result<()> {
        let after = State::of(module);
        match before.difference(&after) {
            Some(difference) => Err(self.fails(format!("{what}: {difference}"))),
            None => Ok(()),
        }
    }

    /// Each trained parameter has a finite gradient, and not all of them vanish.
    fn gradients<M: Module>(&self, module: &M, loss: &Tensor<1>) -> Result<()> {
        let trained = State::of(module).trained;
        if trained.is_empty() {
            return Ok(());
        }
        self.require(loss.is_tracked(), || {
            "gradients: expected outputs that depend on the parameters, found none that does"
                .to_string()
        })?;
        let gradients = loss.backward();
        let mut collector = GradientCollector::new(&gradients);
        module.visit(&mut collector);
        for path in &trained {
            let gradient = collector.found.get(path).ok_or_else(|| {
                self.fails(format!(
                    "gradients: expected one for parameter `{path}`, found none"
                ))
            })?;
            if let Some(value) = gradient.iter().find(|value| !value.is_finite()) {
                return Err(self.fails(format!(
                    "gradients: expected a finite one for parameter `{path}`, found {value}"
                )));
            }
        }
        let moves = collector
            .found
            .values()
            .flatten()
            .any(|value| *value != 0.0);
        self.require(moves, || {
            "gradients: expected one that is not zero, found none".to_string()
        })
    }
}

fn flat<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().into_data().iter::<f32>().collect()
}

/// The path from a module's root to a parameter.
#[derive(Debug, Default)]
struct Path(Vec<String>);

impl Path {
    fn text(&self) -> String {
        self.0.join(".")
    }
}

/// Every value a module holds, by path.
#[derive(Debug, Default)]
struct State {
    path: Path,
    values: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
    /// Paths of parameters that are trained; running statistics are not.
    trained: Vec<String>,
    /// Paths of parameters on a device without autodiff.
    plain: Vec<String>,
}

impl State {
    fn of<M: Module>(module: &M) -> Self {
        let mut state = Self::default();
        module.visit(&mut state);
        state
    }

    fn keep(&mut self, data: TensorData) {
        let shape = data.shape().to_vec();
        let values = data.iter::<f64>().collect();
        self.values.insert(self.path.text(), (shape, values));
    }

    /// The first difference, bit for bit.
    fn difference(&self, other: &Self) -> Option<String> {
        let paths = self.values.keys().chain(other.values.keys());
        for path in paths {
            let (Some(left), Some(right)) = (self.values.get(path), other.values.get(path)) else {
                return Some(format!(
                    "expected the same parameters, found `{path}` in one only"
                ));
            };
            if left.0 != right.0 {
                return Some(format!(
                    "expected shape {:?} for `{path}`, found {:?}",
                    left.0, right.0
                ));
            }
            for (expected, found) in left.1.iter().zip(&right.1) {
                if expected.to_bits() != found.to_bits() {
                    return Some(format!("expected {expected} in `{path}`, found {found}"));
                }
            }
        }
        None
    }
}

impl ModuleVisitor for State {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if value.is_require_grad() {
            self.trained.push(self.path.text());
        }
        if !value.device().is_autodiff() {
            self.plain.push(self.path.text());
        }
        self.keep(value.into_data());
    }
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.keep(param.val().into_data());
    }
    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.keep(param.val().int().into_data());
    }
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.0.push(name.to_string());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }
}

struct GradientCollector<'a> {
    path: Path,
    gradients: &'a Gradients,
    found: BTreeMap<String, Vec<f32>>,
}

impl<'a> GradientCollector<'a> {
    fn new(gradients: &'a Gradients) -> Self {
        Self {
            path: Path::default(),
            gradients,
            found: BTreeMap::new(),
        }
    }
}

impl ModuleVisitor for GradientCollector<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            self.found.insert(self.path.text(), flat(&gradient));
        }
    }
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.0.push(name.to_string());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }
}

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

/// Values in `[-1, 1)` without a pattern.
fn uniform(count: usize, index: u64) -> Vec<f32> {
    use rand::RngExt;
    let mut generator = stream(SEED, 0, index, Purpose::Plugin);
    (0..count)
        .map(|_| generator.random_range(-1.0f32..1.0))
        .collect()
}

fn images(samples: usize, shape: ImageShape, device: &Device) -> Tensor<4> {
    let dims = [samples, shape.channels, shape.height, shape.width];
    let values = uniform(samples * shape.values(), 1);
    Tensor::from_data(TensorData::new(values, dims), device)
}

fn latents(samples: usize, width: usize, device: &Device) -> Tensor<2> {
    let indices: Vec<u64> = (0..samples as u64).collect();
    normal_rows(SEED, 0, &indices, width, Purpose::Posterior, device)
}

/// A weighted sum with a weight of its own for each element, so that no gradient cancels by symmetry.
fn weighted_sum<const D: usize>(output: &Tensor<D>) -> Tensor<1> {
    let shape = output.dims();
    let weights = uniform(shape.iter().product(), 2);
    let weights = Tensor::from_data(TensorData::new(weights, shape), &output.device());
    (output.clone() * weights).sum()
}

/// Writes a recipe as JSON and reads it back.
fn round_trip<C: ?Sized + serde::Serialize, B>(subject: &Subject, config: &C) -> Result<B>
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
fn built<M: Module>(
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

/// Runs `apply` on batches of [`SAMPLES`] and of one, in training and in evaluation, and checks what holds for every
/// module: evaluation leaves it as it is, repeats itself, and treats each sample by itself.
///
/// `apply` checks and gives the values of each output, sample by sample. Gives the module in evaluation, moved away from
/// its initial weights.
fn exercised<M: Module, I>(
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
fn pick<const D: usize>(all: &Tensor<D>, sample: usize) -> Tensor<D> {
    if sample == SAMPLES {
        all.clone()
    } else {
        all.clone().narrow(0, sample, 1)
    }
}

/// Checks every promise of [`Encoder`](crate::plugin::Encoder) and [`EncoderConfig`].
///
/// # Errors
/// [`Error::Contract`] for the first broken promise; whatever building the encoder fails with.
pub fn encoder(config: &dyn EncoderConfig, spec: &EncoderSpec) -> Result<()> {
    let (subject, module) = built(
        "encoder",
        &|init| config.build(spec, init),
        &|subject, init| {
            round_trip::<_, Box<dyn EncoderConfig>>(subject, config)?.build(spec, init)
        },
        &|module| module.type_name(),
    )?;
    let device = Device::flex().autodiff();
    let posterior = module.encode(images(SAMPLES, spec.image, &device));
    let both = Tensor::cat(vec![posterior.mean, posterior.log_variance], 1);
    subject.gradients(&module, &weighted_sum(&both))?;

    let module = exercised(
        &subject,
        module,
        &|samples, device| images(samples, spec.image, device),
        &pick,
        &|when, module, images, samples, device| {
            let expected = [samples, spec.latent_dimensions];
            let posterior = module.encode(images);
            let value = |what: &str, found: &Tensor<2>| {
                subject.output(&format!("{what} ({when})"), found, expected, device)
            };
            Ok(vec![
                ("mean", value("mean", &posterior.mean)?),
                (
                    "log_variance",
                    value("log_variance", &posterior.log_variance)?,
                ),
            ])
        },
    )?;

    if let Some(layers) = module.layers() {
        let images = images(SAMPLES, spec.image, &Device::flex());
        let posterior = module.encode(images.clone());
        let expected = Tensor::cat(vec![posterior.mean, posterior.log_variance], 1);
        let replayed = LayerView::replay(&layers, images).ok_or_else(|| {
            subject.fails("layers: expected layers that fit each other and end flat, found others")
        })?;
        let found = subject.output(
            "layers: what they replay to",
            &replayed,
            expected.dims(),
            &Device::flex(),
        )?;
        subject.same(
            "layers: replayed [mean | log_variance]",
            &flat(&expected),
            &found,
        )?;
    }
    Ok(())
}

/// Checks every promise of [`Decoder`](crate::plugin::Decoder) and [`DecoderConfig`].
///
/// # Errors
/// [`Error::Contract`] for the first broken promise; whatever building the decoder fails with.
pub fn decoder(config: &dyn DecoderConfig, spec: &DecoderSpec) -> Result<()> {
    let (subject, module) = built(
        "decoder",
        &|init| config.build(spec, init),
        &|subject, init| {
            round_trip::<_, Box<dyn DecoderConfig>>(subject, config)?.build(spec, init)
        },
        &|module| module.type_name(),
    )?;
    let device = Device::flex().autodiff();
    let width = spec.latent_dimensions;
    let decoded = module.decode(latents(SAMPLES, width, &device));
    subject.gradients(&module, &weighted_sum(&decoded))?;

    let in_range = |when: &str, values: &[f32]| {
        let outside = values.iter().find(|value| !(-1.0..=1.0).contains(*value));
        match outside {
            Some(value) => Err(subject.fails(format!(
                "images ({when}): expected values in [-1, 1], found {value}"
            ))),
            None => Ok(()),
        }
    };
    let shape = |samples| {
        let ImageShape {
            channels,
            height,
            width,
        } = spec.image;
        [samples, channels, height, width]
    };
    let module = exercised(
        &subject,
        module,
        &|samples, device| latents(samples, width, device),
        &pick,
        &|when, module, latents, samples, device| {
            let decoded = module.decode(latents);
            let what = format!("images ({when})");
            let values = subject.output(&what, &decoded, shape(samples), device)?;
            in_range(when, &values)?;
            Ok(vec![("images", values)])
        },
    )?;
    // Latents far from where the prior puts them.
    let plain = Device::flex();
    let decoded = module.decode(latents(SAMPLES, width, &plain) * 100.0);
    let when = "evaluation, latents of size 100";
    let what = format!("images ({when})");
    in_range(
        when,
        &subject.output(&what, &decoded, shape(SAMPLES), &plain)?,
    )
}

/// Shapes of a head's output; values of logits and, if there are any, of similarities.
fn head_output(
    subject: &Subject,
    when: &str,
    output: &HeadOutput,
    expected: (usize, usize, Option<usize>),
    device: &Device,
) -> Result<Vec<(&'static str, Vec<f32>)>> {
    let (samples, classes, prototypes) = expected;
    let logits = subject.output(
        &format!("logits ({when})"),
        &output.logits,
        [samples, classes],
        device,
    )?;
    let mut values = vec![("logits", logits)];
    match (&output.similarities, prototypes) {
        (Some(similarities), Some(prototypes)) => {
            let found = subject.output(
                &format!("similarities ({when})"),
                similarities,
                [samples, prototypes],
                device,
            )?;
            if let Some(value) = found.iter().find(|value| **value <= 0.0) {
                return Err(subject.fails(format!(
                    "similarities ({when}): expected positive values, found {value}"
                )));
            }
            values.push(("similarities", found));
        }
        (None, None) => {}
        (found, expected) => {
            let told = |there: bool| if there { "some" } else { "none" };
            return Err(subject.fails(format!(
                "similarities ({when}): expected {} beside {} prototypes, found {}",
                told(expected.is_some()),
                told(expected.is_some()),
                told(found.is_some())
            )));
        }
    }
    Ok(values)
}

/// Checks every promise of [`PrototypeHead`](crate::plugin::PrototypeHead) and [`HeadConfig`].
///
/// # Errors
/// [`Error::Contract`] for the first broken promise; whatever building the head fails with.
pub fn head(config: &dyn HeadConfig, spec: &HeadSpec) -> Result<()> {
    let (subject, module) = built(
        "head",
        &|init| config.build(spec, init),
        &|subject, init| round_trip::<_, Box<dyn HeadConfig>>(subject, config)?.build(spec, init),
        &|module| module.type_name(),
    )?;
    let device = Device::flex().autodiff();
    let output = module.classify(latents(SAMPLES, spec.latent_dimensions, &device));
    let mut loss = weighted_sum(&output.logits);
    if let Some(similarities) = &output.similarities {
        loss = loss + weighted_sum(similarities);
    }
    subject.gradients(&module, &loss)?;

    let prototypes = match module.prototypes() {
        Some(bank) => {
            let expected = (spec.classes, spec.prototypes_per_class);
            subject.require((bank.classes, bank.per_class) == expected, || {
                format!(
                    "prototypes: expected {} classes of {}, found {} of {}",
                    expected.0, expected.1, bank.classes, bank.per_class
                )
            })?;
            let count = bank.classes * bank.per_class;
            let shape = [count, spec.latent_dimensions];
            subject.output("prototypes", &bank.vectors, shape, &device)?;
            Some(count)
        }
        None => None,
    };
    let module = exercised(
        &subject,
        module,
        &|samples, device| latents(samples, spec.latent_dimensions, device),
        &pick,
        &|when, module, latents, samples, device| {
            let output = module.classify(latents);
            let expected = (samples, spec.classes, prototypes);
            head_output(&subject, when, &output, expected, device)
        },
    )?;
    if let Some(count) = prototypes {
        largest_on_itself(&subject, &module, count)?;
    }
    class_weights(&subject, &module, spec)
}

/// A latent that equals a prototype is more similar to it than to any other, and than other prototypes are.
fn largest_on_itself(subject: &Subject, module: &BoxHead, count: usize) -> Result<()> {
    let Some(bank) = module.prototypes() else {
        return Err(subject.fails("prototypes: expected some in evaluation too, found none"));
    };
    let Some(similarities) = module.classify(bank.vectors).similarities else {
        return Err(subject.fails("similarities: expected some in evaluation too, found none"));
    };
    let values = flat(&similarities);
    let at = |latent: usize, prototype: usize| {
        values
            .get(latent * count + prototype)
            .copied()
            .unwrap_or(f32::NAN)
    };
    for prototype in 0..count {
        let own = at(prototype, prototype);
        for other in 0..count {
            for (found, of) in [
                (
                    at(prototype, other),
                    "similarity of that latent to prototype",
                ),
                (at(other, prototype), "similarity to it of prototype"),
            ] {
                subject.require(found <= own, || {
                    format!(
                        "similarities: expected {own}, of a latent that equals prototype {prototype}, \
                         to be the largest, found a {of} {other} of {found}"
                    )
                })?;
            }
        }
    }
    Ok(())
}

/// Class weights say how much logits change with similarities.
fn class_weights(subject: &Subject, module: &BoxHead, spec: &HeadSpec) -> Result<()> {
    let Some(weights) = module.class_weights() else {
        return Ok(());
    };
    let device = Device::flex();
    let output = module.classify(latents(SAMPLES, spec.latent_dimensions, &device));
    let Some(similarities) = output.similarities else {
        return Err(subject.fails("class_weights: expected none without similarities, found some"));
    };
    let [_, count] = similarities.dims();
    subject.output("class_weights", &weights, [spec.classes, count], &device)?;
    // Differences of samples, which a bias leaves alone.
    let difference =
        |all: &Tensor<2>| all.clone().narrow(0, 1, SAMPLES - 1) - all.clone().narrow(0, 0, 1);
    let expected = difference(&similarities).matmul(weights.transpose());
    subject.same(
        "class_weights: how logits change with similarities",
        &flat(&expected),
        &flat(&difference(&output.logits)),
    )
}

/// Checks every promise of [`Model`](crate::model::Model) and [`ModelConfig`].
///
/// # Errors
/// [`Error::Contract`] for the first broken promise; whatever building the model fails with.
pub fn model(config: &dyn ModelConfig, spec: &ModelSpec) -> Result<()> {
    let (subject, module) = built(
        "model",
        &|init| config.build(spec, init),
        &|subject, init| round_trip::<_, Box<dyn ModelConfig>>(subject, config)?.build(spec, init),
        &|module| module.type_name(),
    )?;
    resolution(&subject, config, spec, &module)?;
    subject.require(module.image_shape() == spec.image, || {
        format!(
            "image_shape: expected {}, found {}",
            spec.image,
            module.image_shape()
        )
    })?;
    subject.require(module.classes() == spec.classes, || {
        format!(
            "classes: expected {}, found {}",
            spec.classes,
            module.classes()
        )
    })?;
    subject.require(!module.kind().is_empty(), || {
        "kind: expected a name, found none".to_string()
    })?;
    model_losses(&subject, &module, spec)?;

    let prototypes = module
        .prototypes()
        .map(|bank| bank.classes * bank.per_class);
    let module = exercised(
        &subject,
        module,
        &|samples, device| images(samples, spec.image, device),
        &pick,
        &|when, module, images, samples, device| {
            let predicted = module.predict(images);
            let expected = (samples, spec.classes, prototypes);
            let output = HeadOutput {
                logits: predicted.logits,
                similarities: predicted.similarities,
            };
            let mut values = head_output(&subject, when, &output, expected, device)?;
            if let Some(found) = predicted.latents {
                let [_, width] = found.dims();
                let what = format!("latents ({when})");
                values.push((
                    "latents",
                    subject.output(&what, &found, [samples, width], device)?,
                ));
                if let Some(decoded) = module.decode(found) {
                    let ImageShape {
                        channels,
                        height,
                        width,
                    } = spec.image;
                    let shape = [samples, channels, height, width];
                    let what = format!("decoded images ({when})");
                    values.push((
                        "decoded images",
                        subject.output(&what, &decoded, shape, device)?,
                    ));
                }
            }
            Ok(values)
        },
    )?;
    evaluation_losses(&subject, &module, spec)
}

/// `resolved` is complete, stable, and builds the same model.
fn resolution(
    subject: &Subject,
    config: &dyn ModelConfig,
    spec: &ModelSpec,
    module: &BoxModel,
) -> Result<()> {
    let resolved = config.resolved(spec)?;
    let reread: Box<dyn ModelConfig> = round_trip(subject, &*resolved)?;
    let mut init = Initializer::new(SEED, &Device::flex().autodiff());
    subject.state(
        "the resolved recipe builds the same weights",
        &State::of(module),
        &reread.build(spec, &mut init)?,
    )?;
    let text = |config: &dyn ModelConfig| {
        serde_json::to_string(config).map_err(|error| subject.fails(format!("JSON: {error}")))
    };
    let (once, twice) = (text(&*resolved)?, text(&*resolved.resolved(spec)?)?);
    subject.require(once == twice, || {
        format!("resolved: expected {once} when resolved again, found {twice}")
    })?;
    let (name, resolved_name) = (config.reported_as(), resolved.reported_as());
    subject.require(!name.is_empty() && name == resolved_name, || {
        format!("reported_as: expected one name before and after resolution, found `{name}` and `{resolved_name}`")
    })
}

fn batch(samples: usize, turn: u64, spec: &ModelSpec, device: &Device) -> Result<Batch> {
    let host = HostBatch {
        images: uniform(samples * spec.image.values(), 1 + turn),
        labels: (0..samples)
            .map(|sample| (sample + turn as usize) % spec.classes.max(1))
            .collect(),
        indices: (0..samples as u64).collect(),
        shape: spec.image,
    };
    Batch::new(host, spec.image, spec.classes, SEED, 0, device)
}

/// Shapes and names of one batch's losses.
fn step_output(
    subject: &Subject,
    when: &str,
    output: &StepOutput,
    names: &mut Option<Vec<&'static str>>,
    device: &Device,
) -> Result<()> {
    let found: Vec<&'static str> = output.terms.iter().map(|term| term.name).collect();
    match names {
        Some(expected) => subject.require(*expected == found, || {
            format!("losses ({when}): expected terms {expected:?} as before, found {found:?}")
        })?,
        None => *names = Some(found.clone()),
    }
    subject.require(output.terms.iter().any(|term| term.weight > 0.0), || {
        format!(
            "losses ({when}): expected a term with a weight above zero, found {found:?} without"
        )
    })?;
    for term in &output.terms {
        let what = format!("loss term `{}` ({when})", term.name);
        subject.output(&what, &term.value, [1], device)?;
    }
    Ok(())
}

/// Losses of training batches, and the gradients of all terms together.
fn model_losses(subject: &Subject, module: &BoxModel, spec: &ModelSpec) -> Result<()> {
    let device = Device::flex().autodiff();
    let mut names = None;
    for (turn, samples) in [(0, SAMPLES), (1, SAMPLES), (2, 1)] {
        let output = module.losses(&batch(samples, turn, spec, &device)?, Mode::Training);
        let when = format!("training, N = {samples}");
        step_output(subject, &when, &output, &mut names, &device)?;
        subject.output(
            &format!("logits of losses ({when})"),
            &output.logits,
            [samples, spec.classes],
            &device,
        )?;
    }
    // In evaluation mode no term is left out for its weight.
    let output = module.losses(&batch(SAMPLES, 0, spec, &device)?, Mode::Evaluation);
    let all = output
        .terms
        .iter()
        .map(|term| term.value.clone())
        .reduce(|sum, term| sum + term);
    let Some(mut all) = all else {
        return Err(subject.fails("losses (evaluation): expected a term, found none"));
    };
    // A classifier of the mean alone does not train what makes the log variance; only there that is no fault.
    let images = images(SAMPLES, spec.image, &device);
    let posterior = module.encoder().encode(images);
    if module.decode(posterior.mean).is_none() {
        all = all + weighted_sum(&posterior.log_variance);
    }
    subject.gradients(module, &all)
}

/// Losses in evaluation: the same names for every batch, logits that are those of `predict`.
fn evaluation_losses(subject: &Subject, module: &BoxModel, spec: &ModelSpec) -> Result<()> {
    let device = Device::flex();
    let before = State::of(module);
    let mut names = None;
    for (turn, samples) in [(0, SAMPLES), (1, 1)] {
        let batch = batch(samples, turn, spec, &device)?;
        let output = module.losses(&batch, Mode::Evaluation);
        let when = format!("evaluation, N = {samples}");
        step_output(subject, &when, &output, &mut names, &device)?;
        subject.same(
            &format!("logits of losses and of predict ({when})"),
            &flat(&module.predict(batch.images.clone()).logits),
            &flat(&output.logits),
        )?;
    }
    subject.state("evaluation does not change the module", &before, module)
}

/// Checks every promise of [`Explainer`] on a model (as `model.valid()`), for classes and for prototypes.
///
/// A method that takes only one of the two kinds of targets passes if it refuses the other with an error.
///
/// # Errors
/// [`Error::Contract`] for the first broken promise.
pub fn explainer(explainer: &dyn Explainer, model: &BoxModel) -> Result<()> {
    let subject = Subject {
        plugin: "explainer",
        name: explainer.name().to_string(),
    };
    subject.require(!subject.name.is_empty(), || {
        "name: expected one, found none".to_string()
    })?;
    let device = match model.devices().into_iter().next() {
        Some(device) => device.without_autodiff(),
        None => Device::flex(),
    };
    let model = model.valid();
    let before = State::of(&model);
    let prototypes = model
        .prototypes()
        .map_or(0, |bank| bank.classes * bank.per_class);
    let classes = model.classes();
    let mut kinds: Vec<Vec<Target>> = vec![(0..classes).map(Target::Class).collect()];
    if prototypes > 0 {
        kinds.push((0..prototypes).map(Target::Prototype).collect());
    }
    let mut refusals = Vec::new();
    let mut taken = Vec::new();
    for targets in &kinds {
        let first = targets.first().copied();
        let one = images(1, model.image_shape(), &device);
        match explainer.explain(&model, one, first.as_slice()) {
            Ok(_) => taken.push(targets.clone()),
            Err(error) => refusals.push(error.to_string()),
        }
    }
    subject.require(!taken.is_empty(), || {
        format!("explain: expected relevance for a class or a prototype, found {refusals:?}")
    })?;
    let mixed: Vec<Target> = taken
        .iter()
        .filter_map(|targets| targets.last().copied())
        .collect();
    taken.push(mixed);
    for targets in &taken {
        for targets in [targets.get(..1).unwrap_or_default(), targets.as_slice()] {
            for samples in [1, SAMPLES] {
                relevance(&subject, explainer, &model, targets, samples, &device)?;
            }
        }
    }
    subject.state("explaining does not change the model", &before, &model)?;
    for target in [Target::Class(classes), Target::Prototype(prototypes)] {
        let one = images(1, model.image_shape(), &device);
        subject.require(explainer.explain(&model, one, &[target]).is_err(), || {
            format!(
                "explain: expected an error for {target:?}, which does not exist, found relevance"
            )
        })?;
    }
    Ok(())
}

fn relevance(
    subject: &Subject,
    explainer: &dyn Explainer,
    model: &BoxModel,
    targets: &[Target],
    samples: usize,
    device: &Device,
) -> Result<()> {
    let shape = model.image_shape();
    let when = format!("N = {samples}, T = {}", targets.len());
    let explain = || {
        let images = images(samples, shape, device);
        let found = explainer
            .explain(model, images, targets)
            .map_err(|error| subject.fails(format!("explain ({when}): {error}")))?;
        subject.require(found.targets == targets, || {
            format!(
                "targets ({when}): expected {targets:?}, found {:?}",
                found.targets
            )
        })?;
        let rows = samples * targets.len();
        let expected = [rows, shape.channels, shape.height, shape.width];
        subject.output(
            &format!("relevance ({when})"),
            &found.relevance,
            expected,
            device,
        )
    };
    let (first, second) = (explain()?, explain()?);
    let repeats = first
        .iter()
        .zip(&second)
        .all(|(a, b)| a.to_bits() == b.to_bits());
    subject.require(repeats, || {
        format!("relevance ({when}): expected the same from the same call, found another")
    })
}
