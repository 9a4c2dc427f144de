//! One forward pass that leaves behind, for each layer, all that relevance needs on its way back.

use burn::tensor::module::max_pool2d_with_indices;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Int, Tensor};

use super::Rule;
use super::canonise::{Kind, Layer};
use super::composite::Composite;
use super::linear_map::{LinearMap, Part};

/// Added to denominators of rules that have no epsilon of their own.
const TINY: f64 = 1e-9;

/// How relevance passes a layer, for the images of one forward pass. Activations are `[N, F]`.
#[derive(Debug, Clone)]
pub(super) enum Passage {
    Linear(Vec<Group>),
    Winner {
        /// Where in the flattened map of a channel the largest value of each window lies, `[N, C, windows]`.
        places: Tensor<3, Int>,
        /// Pixels of a map of the input.
        pixels: usize,
    },
    Branches {
        body: Vec<Passage>,
        shortcut: Vec<Passage>,
        /// The share of each output that goes through the body, `[N, F]`.
        body_share: Tensor<2>,
        /// The share of the other branch.
        shortcut_share: Tensor<2>,
    },
}

/// Terms of a rule that divide by the same outputs: `R_in = Σ_t input_t ⊙ map_tᵀ(R ⊙ factor)`.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// `[N, out]`.
    pub(super) factor: Tensor<2>,
    /// The adjoints of all terms, joined where they can be.
    pub(super) maps: Vec<LinearMap>,
    /// What each term is multiplied with.
    pub(super) inputs: Vec<Input>,
}

#[derive(Debug, Clone)]
pub(super) enum Input {
    /// `[N, in]`.
    Values(Tensor<2>),
    Constant(f64),
}

/// A layer whose rule is decided, with the parts of its weights that the rule needs.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Linear(LinearStep),
    Relu,
    MaxPool {
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        input: [usize; 3],
    },
    Residual {
        body: Vec<Step>,
        shortcut: Vec<Step>,
        rule: Rule,
    },
}

#[derive(Debug, Clone)]
pub(super) struct LinearStep {
    map: LinearMap,
    bias: Option<Tensor<2>>,
    rule: Rule,
    /// Whether inputs are known not to be negative.
    positive_input: bool,
    positive: Option<LinearMap>,
    negative: Option<LinearMap>,
    /// The joined adjoints of a group, by the number of its terms and their first part.
    joined: Vec<LinearMap>,
}

/// Decides the rule of each layer. `positive` says whether the first layer's inputs cannot be negative, `first` whether its
/// first linear layer sees pixels; both are carried on.
pub(super) fn steps(
    layers: &[Layer],
    composite: &Composite,
    positive: &mut bool,
    first: &mut bool,
) -> Vec<Step> {
    let mut steps = Vec::with_capacity(layers.len());
    for layer in layers {
        match layer {
            Layer::Linear { map, bias, kind } => {
                let weighted = matches!(kind, Kind::Convolution | Kind::FullyConnected);
                let rule = match kind {
                    _ if *first && weighted => composite.input,
                    Kind::Convolution => composite.convolution,
                    Kind::FullyConnected => composite.linear,
                    Kind::Pooling => composite.pooling,
                    Kind::Affine => composite.affine,
                };
                if weighted {
                    *first = false;
                }
                steps.push(Step::Linear(LinearStep::new(
                    map.clone(),
                    bias.clone(),
                    rule,
                    *positive,
                )));
                if *kind != Kind::Pooling {
                    *positive = false;
                }
            }
            Layer::Relu => {
                *positive = true;
                steps.push(Step::Relu);
            }
            Layer::MaxPool {
                kernel,
                stride,
                padding,
                input,
            } => steps.push(Step::MaxPool {
                kernel: *kernel,
                stride: *stride,
                padding: *padding,
                input: *input,
            }),
            Layer::Residual { body, shortcut } => {
                let (mut body_positive, mut shortcut_positive) = (*positive, *positive);
                let mut shortcut_first = *first;
                let body = self::steps(body, composite, &mut body_positive, first);
                let shortcut = self::steps(
                    shortcut,
                    composite,
                    &mut shortcut_positive,
                    &mut shortcut_first,
                );
                *first = *first && shortcut_first;
                *positive = body_positive && shortcut_positive;
                steps.push(Step::Residual {
                    body,
                    shortcut,
                    rule: composite.residual,
                });
            }
        }
    }
    steps
}

/// What `steps` give for `input`, without a record of the way.
pub(super) fn forward(steps: &[Step], input: Tensor<2>) -> Tensor<2> {
    steps
        .iter()
        .fold(input, |activation, step| step.forward(activation))
}

/// What `steps` give for `input`, and the passage back through each.
pub(super) fn prepare(steps: &[Step], input: Tensor<2>) -> (Tensor<2>, Vec<Passage>) {
    let mut activation = input;
    let mut passages = Vec::with_capacity(steps.len());
    for step in steps {
        match step {
            // Relevance passes as it is: a unit that is cut off contributed nothing, and so has none.
            Step::Relu => activation = step.forward(activation),
            Step::Linear(linear) => {
                let output = linear.forward(activation.clone());
                passages.push(Passage::Linear(linear.groups(activation, &output)));
                activation = output;
            }
            Step::MaxPool {
                kernel,
                stride,
                padding,
                input,
            } => {
                let [channels, height, width] = *input;
                let samples = activation.dims()[0];
                let maps = activation.reshape([samples, channels, height, width]);
                let options = MaxPoolOptions::new(*kernel)
                    .with_stride(*stride)
                    .with_padding(*padding);
                let (output, places) = max_pool2d_with_indices(maps, options);
                let [_, _, rows, columns] = output.dims();
                passages.push(Passage::Winner {
                    places: places.reshape([samples, channels, rows * columns]),
                    pixels: height * width,
                });
                activation = output.flatten(1, 3);
            }
            Step::Residual {
                body,
                shortcut,
                rule,
            } => {
                let (left, body) = prepare(body, activation.clone());
                let (right, shortcut) = prepare(shortcut, activation);
                let (body_share, shortcut_share) =
                    branch_shares(*rule, left.clone(), right.clone());
                passages.push(Passage::Branches {
                    body,
                    shortcut,
                    body_share,
                    shortcut_share,
                });
                activation = left + right;
            }
        }
    }
    (activation, passages)
}

fn branch_shares(rule: Rule, left: Tensor<2>, right: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let by_sign = |left: Tensor<2>, right: Tensor<2>| {
        let sum = stabilised(left.clone() + right.clone(), TINY);
        (left / sum.clone(), right / sum)
    };
    match rule {
        Rule::AlphaBeta { alpha, beta } if beta != 0.0 => {
            let (first, second) =
                by_sign(left.clone().clamp_min(0.0), right.clone().clamp_min(0.0));
            let (third, fourth) = by_sign(left.clamp_max(0.0), right.clamp_max(0.0));
            (first * alpha - third * beta, second * alpha - fourth * beta)
        }
        Rule::AlphaBeta { .. } | Rule::ZPlus => by_sign(left.clamp_min(0.0), right.clamp_min(0.0)),
        Rule::Epsilon { epsilon } => {
            let sum = stabilised(left.clone() + right.clone(), epsilon);
            (left / sum.clone(), right / sum)
        }
        _ => by_sign(left, right),
    }
}

impl Step {
    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Linear(linear) => linear.forward(input),
            Self::Relu => burn::tensor::activation::relu(input),
            Self::MaxPool {
                kernel,
                stride,
                padding,
                input: [channels, height, width],
            } => {
                let samples = input.dims()[0];
                let maps = input.reshape([samples, *channels, *height, *width]);
                let options = MaxPoolOptions::new(*kernel)
                    .with_stride(*stride)
                    .with_padding(*padding);
                burn::tensor::module::max_pool2d(maps, options).flatten(1, 3)
            }
            Self::Residual { body, shortcut, .. } => {
                forward(body, input.clone()) + forward(shortcut, input)
            }
        }
    }
}

impl LinearStep {
    fn new(map: LinearMap, bias: Option<Tensor<2>>, rule: Rule, positive_input: bool) -> Self {
        let split = matches!(
            rule,
            Rule::AlphaBeta { .. } | Rule::Gamma { .. } | Rule::ZPlus | Rule::ZBox { .. }
        );
        let positive = split.then(|| map.part(Part::Positive));
        let negative = (split && !map.is_positive()).then(|| map.part(Part::Negative));
        let mut step = Self {
            map,
            bias,
            rule,
            positive_input,
            positive,
            negative,
            joined: Vec::new(),
        };
        step.joined = match step.terms() {
            terms if terms.len() > 1 => LinearMap::joined(&terms).into_iter().collect(),
            _ => Vec::new(),
        };
        step
    }

    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let output = self.map.forward(input);
        match &self.bias {
            Some(bias) => output + bias.clone(),
            None => output,
        }
    }

    /// The maps of the group that is worth joining: the pixels' box, and contributions of one sign.
    fn terms(&self) -> Vec<LinearMap> {
        let parts = [self.positive.clone(), self.negative.clone()];
        let parts = parts.into_iter().flatten();
        match self.rule {
            Rule::ZBox { .. } => std::iter::once(self.map.clone()).chain(parts).collect(),
            Rule::AlphaBeta { beta: 0.0, .. } | Rule::ZPlus if !self.positive_input => {
                parts.collect()
            }
            _ => Vec::new(),
        }
    }

    fn group(&self, factor: Tensor<2>, terms: Vec<(Input, LinearMap)>) -> Group {
        let (inputs, maps): (Vec<_>, Vec<_>) = terms.into_iter().unzip();
        let maps = match self.joined.as_slice() {
            [joined] if maps.len() > 1 => vec![joined.clone()],
            _ => maps,
        };
        Group {
            factor,
            maps,
            inputs,
        }
    }

    /// The terms of the rule for these inputs `[N, in]` and outputs `[N, out]`.
    fn groups(&self, input: Tensor<2>, output: &Tensor<2>) -> Vec<Group> {
        let positive = self.positive.as_ref().unwrap_or(&self.map);
        match self.rule {
            Rule::Epsilon { epsilon } => {
                let factor = reciprocal(output.clone(), epsilon);
                vec![self.group(factor, vec![(Input::Values(input), self.map.clone())])]
            }
            Rule::ZPlus => {
                let (sum, terms) = self.of_sign(&input, Part::Positive);
                vec![self.group(reciprocal(sum, TINY), terms)]
            }
            Rule::AlphaBeta { alpha, beta } => {
                let mut groups = Vec::new();
                for (part, share) in [(Part::Positive, alpha), (Part::Negative, -beta)] {
                    if share == 0.0 {
                        continue;
                    }
                    let (sum, terms) = self.of_sign(&input, part);
                    let sum = match self.bias_of_sign(part) {
                        Some(bias) => sum + bias,
                        None => sum,
                    };
                    groups.push(self.group(reciprocal(sum, TINY) * share, terms));
                }
                groups
            }
            Rule::Gamma { gamma } => self.gamma(&input, output, gamma),
            Rule::ZBox { low, high } => {
                let negative = self.negative.as_ref();
                let ones = Tensor::ones_like(&input);
                let floor = positive.forward(ones.clone() * low);
                let mut sum = self.map.forward(input.clone()) - floor;
                if let Some(negative) = negative {
                    sum = sum - negative.forward(ones * high);
                }
                let mut terms = vec![
                    (Input::Values(input), self.map.clone()),
                    (Input::Constant(-low), positive.clone()),
                ];
                if let Some(negative) = negative {
                    terms.push((Input::Constant(-high), negative.clone()));
                }
                vec![self.group(reciprocal(sum, TINY), terms)]
            }
            Rule::Flat | Rule::WSquare => {
                let part = if self.rule == Rule::Flat {
                    Part::Ones
                } else {
                    Part::Squared
                };
                let map = self.map.part(part);
                let sum = map.forward(Tensor::ones_like(&input));
                vec![self.group(reciprocal(sum, TINY), vec![(Input::Constant(1.0), map)])]
            }
        }
    }

    /// The sums of all contributions of one sign, `[N, out]`, without bias, and the terms that they are made of.
    fn of_sign(&self, input: &Tensor<2>, part: Part) -> (Tensor<2>, Vec<(Input, LinearMap)>) {
        let positive = self.positive.as_ref();
        let negative = self.negative.as_ref();
        // Positive inputs with weights of the sign; negative inputs with weights of the other.
        let (with, against) = match part {
            Part::Negative => (negative, positive),
            _ => (positive, negative),
        };
        let above = match self.positive_input {
            true => input.clone(),
            false => input.clone().clamp_min(0.0),
        };
        let mut terms = Vec::new();
        let mut sums = Vec::new();
        let mut add = |values: Tensor<2>, map: Option<&LinearMap>| {
            if let Some(map) = map {
                sums.push(map.forward(values.clone()));
                terms.push((Input::Values(values), map.clone()));
            }
        };
        add(above, with);
        if !self.positive_input {
            add(input.clone().clamp_max(0.0), against);
        }
        let sum = sums.into_iter().reduce(|a, b| a + b);
        // A map without negative weights has no negative contributions of positive inputs.
        let sum = sum.unwrap_or_else(|| self.map.forward(input.clone()) * 0.0);
        (sum, terms)
    }

    fn bias_of_sign(&self, part: Part) -> Option<Tensor<2>> {
        let bias = self.bias.clone()?;
        Some(match part {
            Part::Negative => bias.clamp_max(0.0),
            _ => bias.clamp_min(0.0),
        })
    }

    fn gamma(&self, input: &Tensor<2>, output: &Tensor<2>, gamma: f64) -> Vec<Group> {
        let mut groups = Vec::new();
        for part in [Part::Positive, Part::Negative] {
            let (mut sum, terms) = self.of_sign(input, part);
            if let Some(bias) = self.bias_of_sign(part) {
                sum = sum + bias;
            }
            // Outputs of this sign only: the others belong to the other group.
            let mask = match part {
                Part::Negative => output.clone().lower_elem(0.0),
                _ => output.clone().greater_equal_elem(0.0),
            };
            let factor = reciprocal(output.clone() + sum * gamma, TINY) * mask.float();
            let mut all = vec![(Input::Values(input.clone()), self.map.clone())];
            all.extend(
                terms
                    .into_iter()
                    .map(|(values, map)| (scaled(values, gamma), map)),
            );
            groups.push(self.group(factor, all));
        }
        groups
    }
}

fn scaled(input: Input, factor: f64) -> Input {
    match input {
        Input::Values(values) => Input::Values(values * factor),
        Input::Constant(value) => Input::Constant(value * factor),
    }
}

/// `z + epsilon·sign z`, with sign 1 at zero.
fn stabilised(sum: Tensor<2>, epsilon: f64) -> Tensor<2> {
    let sign = sum.clone().greater_equal_elem(0.0).float() * 2.0 - 1.0;
    sum + sign * epsilon
}

fn reciprocal(sum: Tensor<2>, epsilon: f64) -> Tensor<2> {
    stabilised(sum, epsilon).recip()
}
