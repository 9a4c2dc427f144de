//! Max pooling as a burn operation with its own backward pass.
//!
//! Of equal values the first in a window, row by row, wins and gets all of the gradient; NaN wins over any number. Both are as
//! in PyTorch.

use std::ops::Range;
use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::{Bytes, DType, Tensor};

use super::geometry::{Geometry, Links};
use super::layout::Layout;
use super::maps::Maps;
use super::pool::filled;
use super::primitive::{Differentiable, Plain, Tracked, contiguous, plain, values};
use super::vector::{Kernel, Vector, dispatch};

/// A max pooling, apart from its tensor.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool {
    geometry: Geometry,
    input: Layout,
    output: Layout,
}

impl MaxPool {
    /// Over maps in that layout; none if the kernels do not do it.
    pub fn new(input: Layout, kernel: usize, stride: usize, padding: usize) -> Option<Self> {
        // A window beyond the map would have no largest value; winners are kept in a byte each.
        if padding >= kernel || kernel * kernel > usize::from(u8::MAX) {
            return None;
        }
        let channels = input.channels;
        let weight = [channels, channels, kernel, kernel];
        let geometry = Geometry::convolution(input.images(), weight, channels, stride, padding)?;
        Some(Self {
            geometry,
            input,
            output: input.with(channels, geometry.out),
        })
    }

    /// The result, on the device of the input; none if that is not the CPU's, or the values are not `f32`.
    pub fn apply(self, input: &Tensor<4>) -> Option<Maps> {
        if input.dtype() != DType::F32 {
            return None;
        }
        let run = |input: &Plain| {
            let (output, winners) = self.forward(values(&contiguous(input)));
            (plain(output, &self.output.shape()), winners)
        };
        let input = input.clone();
        if !input.device().is_autodiff() {
            let (output, _) = run(&input.try_into_primitive::<Flex>().ok()?);
            let output = Tensor::from_primitive::<Flex>(output);
            return Some(Maps::blocked(output, self.output));
        }
        let input: Tracked = input.try_into_primitive::<Differentiable>().ok()?;
        let (output, winners) = run(input.primitive());
        let output = match MaxPoolBackward
            .prepare::<NoCheckpointing>([input.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(operation) => operation.finish((self, winners.into()), output),
            OpsKind::UnTracked(operation) => operation.finish(output),
        };
        let output = Tensor::from_primitive::<Differentiable>(output);
        Some(Maps::blocked(output, self.output))
    }

    /// The largest values, and for each of them the tap of the window that it comes from.
    fn forward(&self, input: &[f32]) -> (Bytes, Vec<u8>) {
        assert!(input.len() == self.input.values());
        let mut winners = Vec::new();
        // SAFETY: the groups cover the output, and each writes all of its rows.
        let output = unsafe {
            filled(self.output.values(), |out| {
                let groups = self.output.each_group(|block, rows| {
                    dispatch(LargestRows {
                        pool: self,
                        links: &self.geometry.down_links(rows.clone()),
                        input: &input[block * self.input.block()..][..self.input.block()],
                        rows,
                        out: out.at(block * self.output.block()),
                    })
                });
                winners = groups.concat();
            })
        };
        (output, winners)
    }

    /// Gradient of the input: each input gets that of the windows in which it won.
    fn backward(&self, winners: &[u8], gradient: &[f32]) -> Bytes {
        assert!(gradient.len() == self.output.values() && winners.len() == gradient.len());
        let block_of = self.output.block();
        // SAFETY: the groups cover the input, and each writes all of its rows.
        unsafe {
            filled(self.input.values(), |out| {
                self.input.each_group(|block, rows| {
                    dispatch(GradientRows {
                        pool: self,
                        links: &self.geometry.up_links(rows.clone()),
                        winners: &winners[block * block_of..][..block_of],
                        gradient: &gradient[block * block_of..][..block_of],
                        rows,
                        out: out.at(block * self.input.block()),
                    });
                });
            })
        }
    }
}

struct LargestRows<'a> {
    pool: &'a MaxPool,
    links: &'a Links,
    input: &'a [f32],
    rows: Range<usize>,
    out: *mut f32,
}

impl Kernel for LargestRows<'_> {
    type Output = Vec<u8>;
    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> Vec<u8> {
        let MaxPool { input, output, .. } = self.pool;
        let (width, pixel) = (output.size[1], output.pixel());
        let mut winners = vec![0; self.rows.len() * output.row()];
        let places = self.rows.start * width..self.rows.end * width;
        for (at, winners) in places.zip(winners.chunks_exact_mut(pixel)) {
            let mut links = self.links.of(at).iter();
            // There is one, since padding is less than the kernel.
            let Some(first) = links.next() else {
                continue;
            };
            let values = |index: usize| &self.input[index * input.pixel()..][..pixel];
            // SAFETY: the pixel lies in this block's rows, and is written before it is read.
            let largest = unsafe {
                let out = self.out.add(at * pixel);
                std::ptr::copy_nonoverlapping(values(first.pixel).as_ptr(), out, pixel);
                std::slice::from_raw_parts_mut(out, pixel)
            };
            winners.fill(first.tap as u8);
            for link in links {
                let tap = link.tap as u8;
                let values = values(link.pixel);
                for ((largest, winner), &value) in largest.iter_mut().zip(&mut *winners).zip(values)
                {
                    let wins = value > *largest || value.is_nan();
                    *largest = if wins { value } else { *largest };
                    *winner = if wins { tap } else { *winner };
                }
            }
        }
        winners
    }
}

struct GradientRows<'a> {
    pool: &'a MaxPool,
    links: &'a Links,
    winners: &'a [u8],
    gradient: &'a [f32],
    rows: Range<usize>,
    out: *mut f32,
}

impl Kernel for GradientRows<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let MaxPool { input, .. } = self.pool;
        let (width, pixel) = (input.size[1], input.pixel());
        for at in self.rows.start * width..self.rows.end * width {
            // SAFETY: the pixel lies in this block's rows, and zeros are written first.
            let sums = unsafe {
                let out = self.out.add(at * pixel);
                std::ptr::write_bytes(out, 0, pixel);
                std::slice::from_raw_parts_mut(out, pixel)
            };
            for link in self.links.of(at) {
                let tap = link.tap as u8;
                let winners = &self.winners[link.pixel * pixel..][..pixel];
                let gradient = &self.gradient[link.pixel * pixel..][..pixel];
                for ((sum, &winner), &value) in sums.iter_mut().zip(winners).zip(gradient) {
                    *sum += if winner == tap { value } else { 0.0 };
                }
            }
        }
    }
}

#[derive(Debug)]
struct MaxPoolBackward;

impl Backward<Flex, 1> for MaxPoolBackward {
    /// The operation, and the tap that won in each window.
    type State = (MaxPool, Arc<[u8]>);

    fn backward(
        self,
        operation: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [input] = operation.parents;
        let (pool, winners) = operation.state;
        let gradient = contiguous(&gradients.consume::<Flex>(&operation.node));
        if let Some(node) = input {
            let made = pool.backward(&winners, values(&gradient));
            gradients.register::<Flex>(node.id, plain(made, &pool.input.shape()));
        }
    }
}
