//! Fully connected layers as burn operations with their own backward pass.
//!
//! Three products: `x·w`, `g·wᵀ` and `xᵀ·g`, of a batch of some hundred rows with weights of thousands. A general matrix
//! product packs both sides for blocks that fit the caches, which for so few rows costs as much as the arithmetic; here
//! each thread packs the panel of columns that it needs next, and the rows are read where they lie.

use burn::backend::Flex;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::{Bytes, Tensor};
use rayon::prelude::*;

use super::buffer::with_sums;
use super::convolve::TASKS;
use super::operations;
use super::panel::{self, PanelProduct};
use super::pool::filled;
use super::primitive::{Differentiable, Inputs, Plain, Tracked, contiguous, plain, values, vector};
use super::vector::dispatch;

/// A matrix in memory.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    /// Values from a row to the next.
    row: usize,
    /// Values from a column to the next.
    column: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after another.
    fn rows(values: &'a [f32], columns: usize) -> Self {
        Self {
            values,
            row: columns,
            column: 1,
        }
    }

    fn transposed(self) -> Self {
        Self {
            row: self.column,
            column: self.row,
            ..self
        }
    }
}

/// `start + left · right` with `[rows, inner]` and `[inner, columns]`; `start` is a value a column, or empty for zeros.
fn multiply(
    [rows, inner, columns]: [usize; 3],
    left: Matrix,
    right: Matrix,
    start: &[f32],
) -> Bytes {
    assert!(start.is_empty() || start.len() == columns);
    operations::count(rows * inner * columns);
    let width = panel::columns();
    let panels = columns.div_ceil(width);
    // Rows are cut only if there are too few panels for the threads, because each task packs its panel.
    let groups = TASKS.div_ceil(panels).min(rows.div_ceil(8));
    // SAFETY: the tasks cover the result, and each writes all of its rows and columns.
    unsafe {
        filled(rows * columns, |out| {
            (0..panels * groups)
                .into_par_iter()
                .with_max_len(1)
                .for_each(|task| {
                    let (index, group) = (task / groups, task % groups);
                    let first = index * width;
                    let count = width.min(columns - first);
                    let rows = group * rows / groups..(group + 1) * rows / groups;
                    let mut starts = [0.0; 32];
                    if !start.is_empty() {
                        starts[..count].copy_from_slice(&start[first..][..count]);
                    }
                    with_sums(inner * width, |values| {
                        let steps = [right.row, right.column];
                        panel::pack(right.values, steps, first, count, values);
                        dispatch(PanelProduct {
                            left: &left.values[rows.start * left.row..],
                            steps: [left.row, left.column],
                            rows: rows.len(),
                            panel: values,
                            start: &starts,
                            columns: count,
                            out: out.at(rows.start * columns + first),
                            out_row: columns,
                        });
                    });
                });
        })
    }
}

/// `x·weight + bias` of `[samples, inputs]` and `[inputs, outputs]`.
#[derive(Clone, Copy, Debug)]
struct Shape {
    samples: usize,
    inputs: usize,
    outputs: usize,
}

/// `input·weight + bias` for `[N, in]`, `[in, out]` and `[out]`; none if the shapes do not fit together, the device is not
/// the CPU, or the values are not `f32`.
pub fn linear(input: &Tensor<2>, weight: &Tensor<2>, bias: &Tensor<1>) -> Option<Tensor<2>> {
    let [samples, inputs] = input.dims();
    let [rows, outputs] = weight.dims();
    if rows != inputs || bias.dims() != [outputs] || samples * inputs * outputs == 0 {
        return None;
    }
    let shape = Shape {
        samples,
        inputs,
        outputs,
    };
    Some(match Inputs::new(input, weight, bias)? {
        Inputs::Plain([input, weight, bias]) => {
            Tensor::from_primitive::<Flex>(shape.forward(&input, &weight, &bias))
        }
        Inputs::Tracked(inputs) => Tensor::from_primitive::<Differentiable>(shape.tracked(inputs)),
    })
}

/// `input·weightᵀ` for `[N, out]` and `[in, out]`, without writing the transpose down; none as in [`linear`], or with
/// autodiff.
pub fn linear_transposed(input: &Tensor<2>, weight: &Tensor<2>) -> Option<Tensor<2>> {
    let [samples, columns] = input.dims();
    let [inputs, outputs] = weight.dims();
    if columns != outputs || samples * inputs * outputs == 0 || input.device().is_autodiff() {
        return None;
    }
    let no_bias = Tensor::zeros([1], &weight.device());
    let Inputs::Plain([input, weight, _]) = Inputs::new(input, weight, &no_bias)? else {
        return None;
    };
    let shape = Shape {
        samples,
        inputs,
        outputs,
    };
    let (input, weight) = (contiguous(&input), contiguous(&weight));
    let product = shape.input_gradient(values(&input), values(&weight));
    let product = plain(product, &[samples, inputs]);
    Some(Tensor::from_primitive::<Flex>(product))
}

impl Shape {
    fn forward(&self, input: &Plain, weight: &Plain, bias: &Plain) -> Plain {
        let (input, weight, bias) = (contiguous(input), contiguous(weight), contiguous(bias));
        let left = Matrix::rows(values(&input), self.inputs);
        let right = Matrix::rows(values(&weight), self.outputs);
        let sizes = [self.samples, self.inputs, self.outputs];
        let output = multiply(sizes, left, right, values(&bias));
        plain(output, &[self.samples, self.outputs])
    }

    fn tracked(self, [input, weight, bias]: [Tracked; 3]) -> Tracked {
        let output = self.forward(input.primitive(), weight.primitive(), bias.primitive());
        let nodes = [input.node(), weight.node(), bias.node()];
        match LinearBackward
            .prepare::<NoCheckpointing>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut operation) => {
                let state = (
                    self,
                    operation.checkpoint(&input),
                    operation.checkpoint(&weight),
                );
                operation.finish(state, output)
            }
            OpsKind::UnTracked(operation) => operation.finish(output),
        }
    }

    fn input_gradient(&self, output: &[f32], weight: &[f32]) -> Bytes {
        let left = Matrix::rows(output, self.outputs);
        let right = Matrix::rows(weight, self.outputs).transposed();
        let sizes = [self.samples, self.outputs, self.inputs];
        multiply(sizes, left, right, &[])
    }

    fn weight_gradient(&self, input: &[f32], output: &[f32]) -> Bytes {
        let left = Matrix::rows(input, self.inputs).transposed();
        let right = Matrix::rows(output, self.outputs);
        let sizes = [self.inputs, self.samples, self.outputs];
        multiply(sizes, left, right, &[])
    }

    fn bias_gradient(&self, output: &[f32]) -> Vec<f32> {
        const COLUMNS: usize = 256;
        let mut sums = vec![0.0; self.outputs];
        sums.par_chunks_mut(COLUMNS)
            .enumerate()
            .for_each(|(chunk, sums)| {
                for row in output.chunks_exact(self.outputs) {
                    let values = &row[chunk * COLUMNS..][..sums.len()];
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum += value;
                    }
                }
            });
        sums
    }
}

#[derive(Debug)]
struct LinearBackward;

impl Backward<Flex, 3> for LinearBackward {
    /// The operation, and where its input and weight are kept.
    type State = (Shape, NodeId, NodeId);

    fn backward(
        self,
        operation: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [input_node, weight_node, bias_node] = operation.parents;
        let (shape, input, weight) = operation.state;
        let output = contiguous(&gradients.consume::<Flex>(&operation.node));
        let input = contiguous(&checkpointer.retrieve_node_output::<Plain>(input));
        let weight = contiguous(&checkpointer.retrieve_node_output::<Plain>(weight));
        let output = values(&output);
        if let Some(node) = input_node {
            let gradient = shape.input_gradient(output, values(&weight));
            gradients.register::<Flex>(node.id, plain(gradient, &[shape.samples, shape.inputs]));
        }
        if let Some(node) = weight_node {
            let gradient = shape.weight_gradient(values(&input), output);
            gradients.register::<Flex>(node.id, plain(gradient, &[shape.inputs, shape.outputs]));
        }
        if let Some(node) = bias_node {
            gradients.register::<Flex>(node.id, vector(shape.bias_gradient(output)));
        }
    }
}
