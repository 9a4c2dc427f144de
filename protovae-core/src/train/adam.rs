//! Adam in one pass over a parameter's values.

use burn::backend::Flex;
use burn::optim::{AdamConfig, AdamState, AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use rayon::prelude::*;

use crate::primitive::{Plain, contiguous, from_values, plain, values};

/// Values that a thread updates at a time; tensors with fewer do not wake other threads.
const CHUNK: usize = 1 << 14;

/// Adam (Kingma and Ba, 2015) without weight decay, with burn's formula and burn's records.
///
/// On the CPU it changes parameter and moments in place, in one pass instead of burn's dozen, where nobody else holds them.
/// Each value's arithmetic is its own, so that results do not depend on the number of threads. On other devices it is burn's
/// own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adam {
    /// Decay of the first moment.
    pub(crate) beta_1: f32,
    /// Decay of the second moment.
    pub(crate) beta_2: f32,
    /// Keeps the denominator away from 0.
    pub(crate) epsilon: f32,
}

impl Adam {
    fn stock(self) -> burn::optim::Adam {
        AdamConfig::new()
            .with_beta_1(self.beta_1)
            .with_beta_2(self.beta_2)
            .with_epsilon(self.epsilon)
            .build()
    }
}

impl Optimizer for Adam {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        // A rate of 0 is how a phase of training leaves a parameter out: its moments are not to remember gradients meanwhile.
        if lr == 0.0 {
            return (tensor, state);
        }
        let Some(mut operands) = Operands::new(&tensor, &grad, state.as_ref()) else {
            return self.stock().step(lr, tensor, grad, state);
        };
        // The operands are to be the only handles.
        drop((tensor, grad));
        let (time, max_moment_2) = match state {
            Some(state) => (state.momentum.time + 1, state.momentum.max_moment_2),
            None => (1, None),
        };
        operands.update(&Update::new(*self, lr, time));
        let Operands {
            parameter,
            moment_1,
            moment_2,
            ..
        } = operands;
        let mut momentum = AdaptiveMomentumState::new(
            time,
            Tensor::from_primitive::<Flex>(moment_1),
            Tensor::from_primitive::<Flex>(moment_2),
        );
        momentum.max_moment_2 = max_moment_2;
        (
            Tensor::from_primitive::<Flex>(parameter),
            Some(AdamState::new(momentum)),
        )
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        <burn::optim::Adam as Optimizer>::to_device(state, device)
    }
}

/// What a step reads and writes, of one shape, on the CPU.
struct Operands {
    parameter: Plain,
    gradient: Plain,
    moment_1: Plain,
    moment_2: Plain,
}

impl Operands {
    /// None if a tensor is elsewhere, not of `f32` or of another shape.
    fn new<const D: usize>(
        parameter: &Tensor<D>,
        gradient: &Tensor<D>,
        state: Option<&AdamState<D>>,
    ) -> Option<Self> {
        let shape = parameter.dims();
        let same = |tensor: &Tensor<D>| {
            if tensor.dims() == shape {
                plain(tensor).map(contiguous)
            } else {
                None
            }
        };
        let zeros = || from_values(vec![0.0; shape.iter().product()], &shape);
        let [moment_1, moment_2] = match state {
            Some(state) => [
                same(&state.momentum.moment_1)?,
                same(&state.momentum.moment_2)?,
            ],
            None => [zeros(), zeros()],
        };
        Some(Self {
            parameter: same(parameter)?,
            gradient: same(gradient)?,
            moment_1,
            moment_2,
        })
    }

    fn update(&mut self, update: &Update) {
        let gradient = values(&self.gradient);
        let parameter = self.parameter.storage_mut::<f32>();
        let moment_1 = self.moment_1.storage_mut::<f32>();
        let moment_2 = self.moment_2.storage_mut::<f32>();
        if gradient.len() <= CHUNK {
            update.apply(parameter, moment_1, moment_2, gradient);
        } else {
            parameter
                .par_chunks_mut(CHUNK)
                .zip(moment_1.par_chunks_mut(CHUNK))
                .zip(moment_2.par_chunks_mut(CHUNK))
                .zip(gradient.par_chunks(CHUNK))
                .for_each(|(((parameter, moment_1), moment_2), gradient)| {
                    update.apply(parameter, moment_1, moment_2, gradient);
                });
        }
    }
}

/// The constants of one step.
struct Update {
    beta_1: f32,
    beta_2: f32,
    /// `sqrt(1 − beta_2^t) / (1 − beta_1^t)`: both bias corrections.
    correction: f32,
    /// Added to the root of the uncorrected second moment, so corrected like it.
    epsilon: f32,
    learning_rate: f32,
}

impl Update {
    fn new(adam: Adam, learning_rate: LearningRate, time: usize) -> Self {
        let Adam {
            beta_1,
            beta_2,
            epsilon,
        } = adam;
        // As burn counts, which wraps after 2^31 steps.
        let time = time as i32;
        let root = (1.0 - beta_2.powi(time)).sqrt();
        Self {
            beta_1,
            beta_2,
            correction: root / (1.0 - beta_1.powi(time)),
            epsilon: epsilon * root,
            learning_rate: learning_rate as f32,
        }
    }

    fn apply(
        &self,
        parameter: &mut [f32],
        moment_1: &mut [f32],
        moment_2: &mut [f32],
        gradient: &[f32],
    ) {
        let Self {
            beta_1,
            beta_2,
            correction,
            epsilon,
            learning_rate,
        } = *self;
        let (rest_1, rest_2) = (1.0 - beta_1, 1.0 - beta_2);
        let moments = moment_1.iter_mut().zip(moment_2);
        for ((parameter, (moment_1, moment_2)), gradient) in
            parameter.iter_mut().zip(moments).zip(gradient)
        {
            *moment_1 = *moment_1 * beta_1 + gradient * rest_1;
            *moment_2 = *moment_2 * beta_2 + gradient * gradient * rest_2;
            let step = *moment_1 * correction / (moment_2.sqrt() + epsilon);
            *parameter -= step * learning_rate;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::module::{Module, Param};
    use burn::optim::{GradientsParams, ModuleOptimizer};
    use burn::tensor::{Distribution, FloatDType};
    use proptest::prelude::*;
    use rayon::ThreadPoolBuilder;

    use super::*;

    const RATE: LearningRate = 1e-2;
    const ADAM: Adam = Adam {
        beta_1: 0.9,
        beta_2: 0.99,
        epsilon: 1e-8,
    };

    fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
        Tensor::random(shape, Distribution::Normal(0.1, 1.0), &Device::flex())
    }

    fn flat<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
        tensor.to_data().iter::<f32>().collect()
    }

    fn address<const D: usize>(tensor: &Tensor<D>) -> usize {
        plain(tensor).unwrap().bytes().as_ptr().addr()
    }

    fn close(ours: &[f32], stock: &[f32]) {
        assert_eq!(ours.len(), stock.len());
        for (ours, stock) in ours.iter().zip(stock) {
            assert!(
                (ours - stock).abs() <= 1e-6 * stock.abs().max(1e-3),
                "{ours} {stock}"
            );
        }
    }

    /// A parameter and both moments after a step with each gradient.
    fn run<const D: usize, O>(
        optimizer: &O,
        parameter: &Tensor<D>,
        gradients: &[Tensor<D>],
    ) -> [Vec<f32>; 3]
    where
        O: Optimizer<State<D> = AdamState<D>>,
    {
        let (mut parameter, mut state) = (parameter.clone(), None);
        for gradient in gradients {
            (parameter, state) = optimizer.step(RATE, parameter, gradient.clone(), state);
        }
        let momentum = state.unwrap().momentum;
        assert_eq!(momentum.time, gradients.len());
        [
            flat(&parameter),
            flat(&momentum.moment_1),
            flat(&momentum.moment_2),
        ]
    }

    fn agrees<const D: usize>(shape: [usize; D], steps: usize) {
        let parameter = random(shape);
        let gradients: Vec<_> = (0..steps).map(|_| random(shape)).collect();
        let ours = run(&ADAM, &parameter, &gradients);
        let stock = run(&ADAM.stock(), &parameter, &gradients);
        for (ours, stock) in ours.iter().zip(&stock) {
            close(ours, stock);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn it_is_burns_adam(
            shape in prop::array::uniform4(1..9usize), long in 1..70_000usize, steps in 1..8usize,
        ) {
            let [a, b, c, d] = shape;
            agrees([long], steps);
            agrees([a, b * 401], steps);
            agrees([a, b, c * 53], steps);
            agrees([a, b, c, d * 17], steps);
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let shape = [7, 14_303];
        let parameter = random(shape);
        let gradients: Vec<_> = (0..3).map(|_| random(shape)).collect();
        let with = |threads| {
            ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| run(&ADAM, &parameter, &gradients))
        };
        let single = with(1);
        for threads in [2, 4] {
            assert_eq!(with(threads), single);
        }
    }

    #[test]
    fn a_single_owner_is_changed_in_place() {
        let (parameter, state) = ADAM.step(RATE, random([5, 7]), random([5, 7]), None);
        let state = state.unwrap();
        let places = |parameter: &Tensor<2>, state: &AdamState<2>| {
            let momentum = &state.momentum;
            [parameter, &momentum.moment_1, &momentum.moment_2].map(address)
        };
        let before = places(&parameter, &state);
        let state = Adam::to_device(state, &Device::flex());
        let (parameter, state) = ADAM.step(RATE, parameter, random([5, 7]), Some(state));
        assert_eq!(places(&parameter, &state.unwrap()), before);
    }

    #[test]
    fn other_owners_keep_their_values() {
        let (parameter, state) = ADAM.step(RATE, random([5, 7]), random([5, 7]), None);
        let (kept, state) = (parameter.clone(), state.unwrap());
        let (values, moment) = (flat(&kept), flat(&state.momentum.moment_1));
        let (moved, _) = ADAM.step(RATE, parameter, random([5, 7]), Some(state.clone()));
        assert_eq!(flat(&kept), values);
        assert_eq!(flat(&state.momentum.moment_1), moment);
        assert_ne!(flat(&moved), values);
    }

    #[test]
    fn layouts_and_types_that_the_kernel_does_not_take() {
        let (wide, tall) = (random([4, 6]), random([6, 4]));
        let turned = tall.clone().transpose();
        for (parameter, gradient) in [(&wide, &turned), (&turned, &wide)] {
            let gradient = std::slice::from_ref(gradient);
            let stock = run(&ADAM.stock(), parameter, gradient);
            close(&run(&ADAM, parameter, gradient)[0], &stock[0]);

            let precise = |tensor: &Tensor<2>| tensor.clone().cast(FloatDType::F64);
            let found = run(&ADAM, &precise(parameter), &[precise(&gradient[0])]);
            close(&found[0], &stock[0]);
        }
    }

    #[derive(Module, Debug)]
    struct Parts {
        matrix: Param<Tensor<2>>,
        vector: Param<Tensor<1>>,
    }

    impl Parts {
        fn stepped(&self, optimizer: &mut ModuleOptimizer, gradients: &Self) -> Self {
            let mut of_parts = GradientsParams::new();
            of_parts.register(self.matrix.id, gradients.matrix.val().inner());
            of_parts.register(self.vector.id, gradients.vector.val().inner());
            optimizer.step(RATE, self.clone(), of_parts)
        }
    }

    fn parts() -> Parts {
        Parts {
            matrix: Param::from_tensor(random([3, 11]).autodiff()),
            vector: Param::from_tensor(random([17]).autodiff()),
        }
    }

    /// What one saved the other goes on from, in either direction.
    #[test]
    fn records_are_burns() {
        let (model, first, second) = (parts(), parts(), parts());
        let ours = || ModuleOptimizer::from(ADAM);
        let stock = || ModuleOptimizer::from(ADAM.stock());
        let path = |mut begin: ModuleOptimizer, end: ModuleOptimizer| {
            let between = model.stepped(&mut begin, &first);
            let mut end = end.from_bytes(begin.into_bytes().unwrap()).unwrap();
            let model = between.stepped(&mut end, &second);
            let matrix = flat(&model.matrix.val().inner());
            [matrix, flat(&model.vector.val().inner())].concat()
        };
        let expected = path(stock(), stock());
        for found in [
            path(ours(), stock()),
            path(stock(), ours()),
            path(ours(), ours()),
        ] {
            close(&found, &expected);
        }
    }
}
