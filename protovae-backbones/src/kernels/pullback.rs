//! Maps on their way back through convolutions, for several targets of each image: what relevance propagation does.
//!
//! All targets of an image pass the same factors. So the targets lie in the lanes of a block (or the images do, where that
//! leaves fewer lanes empty), a factor is one value for the whole vector, and a block goes through all steps on one thread
//! before the next is begun: nothing between the steps is written to main memory.

use std::cell::RefCell;
use std::ops::Range;

use burn::backend::Flex;
use burn::tensor::{DType, Tensor};
use rayon::prelude::*;

use super::buffer::Shared;
use super::convolve::Packed;
use super::geometry::{Geometry, Links};
use super::multiply::{Finish, VECTORS, sum};
use super::pool::filled;
use super::primitive::{Plain, contiguous, plain, values};
use super::vector::{Kernel, Level, Vector, dispatch};

/// A step back: a transposed convolution, then factors of the image.
#[derive(Debug, Clone)]
pub struct PullbackStep {
    /// Weight `[I, terms·C, k, k]` as a convolution from `terms·C` channels to `I` has it, its stride and its padding; none
    /// if the values that come are taken as they are, for one term.
    pub convolution: Option<(Tensor<4>, usize, usize)>,
    /// Height and width of the window that each value is repeated over, before the factors.
    pub window: [usize; 2],
    /// `[C, H, W]` of what the step gives, windows included.
    pub output: [usize; 3],
    /// `[N, C·H·W]` for each term: the step gives `Σ_t factor_t · value_t`.
    pub factors: Vec<Tensor<2>>,
}

/// Sends maps `[N·T, C·H·W]`, target `t` of image `i` at row `i·T + t`, through `steps`; `input` is their `[C, H, W]`.
///
/// None if the tensors are not `f32` on the CPU without autodiff, or the shapes do not fit together.
pub fn pullback(
    maps: &Tensor<2>,
    targets: usize,
    input: [usize; 3],
    steps: &[PullbackStep],
) -> Option<Tensor<2>> {
    let [rows, width] = maps.dims();
    let images = rows.checked_div(targets)?;
    if images * targets != rows || rows == 0 || width != input.iter().product::<usize>() {
        return None;
    }
    let maps = contiguous(&on_cpu(maps)?);
    let blocking = Blocking::new(images, targets);
    let mut shape = input;
    let mut chain = Vec::with_capacity(steps.len());
    for step in steps {
        chain.push(Step::new(step, shape, &blocking)?);
        shape = step.output;
    }
    let largest = chain.iter().map(|step| step.from().max(step.to()));
    let largest = largest.max()? * blocking.lanes;
    let outputs: usize = shape.iter().product();
    // SAFETY: every row lies in one block, and each block writes all values of its rows.
    let output = unsafe {
        filled(rows * outputs, |out: Shared| {
            let blocks = 0..blocking.blocks();
            blocks.into_par_iter().with_max_len(1).for_each(|block| {
                with_buffers(largest, |buffers| {
                    dispatch(Block {
                        blocking: &blocking,
                        block,
                        steps: &chain,
                        maps: values(&maps),
                        input,
                        outputs: shape,
                        buffers,
                        out,
                    });
                });
            });
        })
    };
    Some(Tensor::from_primitive::<Flex>(plain(
        output,
        &[rows, outputs],
    )))
}

/// The tensor's own values, if they are `f32` on the CPU without autodiff.
fn on_cpu<const D: usize>(tensor: &Tensor<D>) -> Option<Plain> {
    if tensor.dtype() != DType::F32 || tensor.device().is_autodiff() {
        return None;
    }
    tensor.clone().try_into_primitive::<Flex>().ok()
}

/// Which rows lie side by side in a block.
struct Blocking {
    images: usize,
    targets: usize,
    lanes: usize,
    /// Whether the lanes are images of one target rather than targets of one image.
    of_images: bool,
}

impl Blocking {
    fn new(images: usize, targets: usize) -> Self {
        let vector = Level::get().lanes();
        // Two vectors make better use of the registers; one leaves fewer lanes empty.
        let choices = [(2, false), (2, true), (1, false), (1, true)];
        let computed = |&(vectors, of_images): &(usize, bool)| {
            let lanes = vectors * vector;
            let padded = match of_images {
                true => images.next_multiple_of(lanes) * targets,
                false => targets.next_multiple_of(lanes) * images,
            };
            // What one vector loses, roughly.
            if vectors == 1 { padded * 6 / 5 } else { padded }
        };
        let best = choices.into_iter().min_by_key(computed);
        let (vectors, of_images) = best.unwrap_or((1, false));
        Self {
            images,
            targets,
            lanes: vectors * vector,
            of_images,
        }
    }

    /// Lanes' counterparts, and what the blocks of a group of lanes are repeated for.
    fn counts(&self) -> [usize; 2] {
        if self.of_images {
            [self.images, self.targets]
        } else {
            [self.targets, self.images]
        }
    }

    /// Blocks along the lanes.
    fn chunks(&self) -> usize {
        self.counts()[0].div_ceil(self.lanes)
    }

    fn blocks(&self) -> usize {
        self.chunks() * self.counts()[1]
    }

    /// The rows of a block, lane by lane.
    fn rows(&self, block: usize) -> impl Iterator<Item = usize> + Clone {
        let chunks = self.chunks();
        let (other, chunk) = (block / chunks, block % chunks);
        let first = chunk * self.lanes;
        let filled = (self.counts()[0] - first).min(self.lanes);
        let (of_images, targets) = (self.of_images, self.targets);
        (first..first + filled).map(move |lane| {
            if of_images {
                lane * targets + other
            } else {
                other * targets + lane
            }
        })
    }

    /// Which part of the factors a block needs.
    fn part(&self, block: usize) -> usize {
        if self.of_images {
            block % self.chunks()
        } else {
            block / self.chunks()
        }
    }
}

/// A step with its weights and factors in the order in which they are read.
struct Step {
    convolution: Option<(Packed, Links)>,
    /// Channels of a pixel that come.
    sources: usize,
    /// Pixels that come.
    source_pixels: usize,
    terms: usize,
    channels: usize,
    /// Height and width before the windows.
    size: [usize; 2],
    window: [usize; 2],
    /// `[part][pixel][channel][term]`, and the lane if lanes are images.
    factors: Vec<f32>,
    /// Values of a part.
    part: usize,
}

impl Step {
    fn new(step: &PullbackStep, input: [usize; 3], blocking: &Blocking) -> Option<Self> {
        let [channels, height, width] = step.output;
        let [tall, wide] = step.window;
        let terms = step.factors.len();
        let most = Level::get().rows();
        if tall == 0 || wide == 0 || terms == 0 || terms > most || channels == 0 {
            return None;
        }
        let size = [height / tall, width / wide];
        if size[0] * tall != height || size[1] * wide != width || height * width == 0 {
            return None;
        }
        let convolution = match &step.convolution {
            None if terms == 1 && input == [channels, size[0], size[1]] => None,
            None => return None,
            Some((weight, stride, padding)) => {
                let [sources, big, kernel, kernel_width] = weight.dims();
                let geometry = Geometry::convolution(
                    [1, big, size[0], size[1]],
                    [sources, big, kernel, kernel_width],
                    sources,
                    *stride,
                    *padding,
                )?;
                let out = [geometry.small, geometry.out[0], geometry.out[1]];
                if big != channels * terms || out != input {
                    return None;
                }
                let weight = contiguous(&on_cpu(weight)?);
                let packed = Packed::up_by_term(&geometry, values(&weight), terms);
                Some((packed, geometry.up_links(0..size[0])))
            }
        };
        let (factors, part) = factors(step, blocking)?;
        Some(Self {
            convolution,
            sources: input[0],
            source_pixels: input[1] * input[2],
            terms,
            channels,
            size,
            window: step.window,
            factors,
            part,
        })
    }

    /// Values of a map that come.
    fn from(&self) -> usize {
        self.sources * self.source_pixels
    }

    /// Values of a map that go.
    fn to(&self) -> usize {
        self.channels * self.size[0] * self.size[1] * self.window[0] * self.window[1]
    }

    /// Sums the terms of some channels of a pixel, and writes them to its window.
    ///
    /// # Safety
    /// `values` holds the terms of the channels, `factors` this block's part, `out` a whole map.
    #[inline(always)]
    unsafe fn finish<V: Vector>(
        &self,
        values: *const f32,
        channels: Range<usize>,
        pixel: usize,
        (factors, of_images): (*const f32, bool),
        lanes: usize,
        out: *mut f32,
    ) {
        let [tall, wide] = self.window;
        let width = self.size[1];
        let (row, column) = (pixel / width, pixel % width);
        for at in 0..tall * wide {
            let at = (row * tall + at / wide) * width * wide + column * wide + at % wide;
            for channel in channels.clone() {
                let place = at * self.channels + channel;
                let value = (channel - channels.start) * self.terms;
                for lane in (0..lanes).step_by(V::LANES) {
                    // SAFETY: the caller vouches for the pointers and for the instruction set.
                    unsafe {
                        let mut total = V::splat(0.0);
                        for term in 0..self.terms {
                            let factor = place * self.terms + term;
                            let factor = if of_images {
                                V::load(factors.add(factor * lanes + lane))
                            } else {
                                V::splat(*factors.add(factor))
                            };
                            let value = V::load(values.add((value + term) * lanes + lane));
                            total = total.add_product(factor, value);
                        }
                        total.store(out.add(place * lanes + lane));
                    }
                }
            }
        }
    }
}

/// The factors of a step, in the order of [`Step::factors`], and the values of a part.
fn factors(step: &PullbackStep, blocking: &Blocking) -> Option<(Vec<f32>, usize)> {
    let [channels, height, width] = step.output;
    let (pixels, terms) = (height * width, step.factors.len());
    let each = channels * pixels;
    let mut tensors = Vec::with_capacity(terms);
    for factor in &step.factors {
        if factor.dims() != [blocking.images, each] {
            return None;
        }
        tensors.push(contiguous(&on_cpu(factor)?));
    }
    let tensors: Vec<&[f32]> = tensors.iter().map(values).collect();
    let lanes = if blocking.of_images {
        blocking.lanes
    } else {
        1
    };
    let parts = blocking.images.div_ceil(lanes);
    let part = each * terms * lanes;
    let mut all = vec![0f32; parts * part];
    all.par_chunks_mut(part)
        .enumerate()
        .for_each(|(number, part)| {
            let first = number * lanes;
            for lane in 0..lanes.min(blocking.images - first) {
                let image = (first + lane) * each;
                for (term, values) in tensors.iter().enumerate() {
                    for (channel, map) in
                        values[image..image + each].chunks_exact(pixels).enumerate()
                    {
                        for (pixel, &value) in map.iter().enumerate() {
                            part[((pixel * channels + channel) * terms + term) * lanes + lane] =
                                value;
                        }
                    }
                }
            }
        });
    Some((all, part))
}

thread_local! {
    static BUFFERS: RefCell<[Vec<f32>; 2]> = RefCell::default();
}

/// Lends this thread's two buffers of at least `length` values. Kept, as a fresh one costs a page fault every thousand values.
fn with_buffers(length: usize, work: impl FnOnce([&mut [f32]; 2])) {
    let mut buffers = BUFFERS.take();
    for buffer in &mut buffers {
        if buffer.len() < length {
            buffer.resize(length, 0.0);
        }
    }
    work(buffers.each_mut().map(Vec::as_mut_slice));
    BUFFERS.set(buffers);
}

/// Values of the largest register tile.
#[repr(align(64))]
struct Scratch([f32; 8 * VECTORS * 16]);

/// One block on its way through all steps.
struct Block<'a> {
    blocking: &'a Blocking,
    block: usize,
    steps: &'a [Step],
    maps: &'a [f32],
    input: [usize; 3],
    outputs: [usize; 3],
    buffers: [&'a mut [f32]; 2],
    out: Shared,
}

impl Block<'_> {
    /// The block's rows into a buffer, `[pixel][channel][lane]`, zero in lanes without a row.
    fn gather(&self, to: &mut [f32]) {
        let [channels, height, width] = self.input;
        let (pixels, lanes) = (height * width, self.blocking.lanes);
        let each = channels * pixels;
        let rows = self.blocking.rows(self.block);
        let filled = rows.clone().count();
        for channel in 0..channels {
            for pixel in 0..pixels {
                let place = &mut to[(pixel * channels + channel) * lanes..][..lanes];
                let from = channel * pixels + pixel;
                for (value, row) in place.iter_mut().zip(rows.clone()) {
                    *value = self.maps[row * each + from];
                }
                place[filled..].fill(0.0);
            }
        }
    }

    /// A buffer into the rows of the result.
    fn scatter(&self, from: &[f32]) {
        let [channels, height, width] = self.outputs;
        let (pixels, lanes) = (height * width, self.blocking.lanes);
        let each = channels * pixels;
        for (lane, row) in self.blocking.rows(self.block).enumerate() {
            for channel in 0..channels {
                for pixel in 0..pixels {
                    let value = from[(pixel * channels + channel) * lanes + lane];
                    // SAFETY: this block's own row, within the result.
                    unsafe { *self.out.at(row * each + channel * pixels + pixel) = value };
                }
            }
        }
    }
}

impl Kernel for Block<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        let [mut source, mut target] = std::mem::take(&mut self.buffers);
        self.gather(source);
        let lanes = self.blocking.lanes;
        let zeros = [0f32; 8];
        let mut scratch = Scratch([0.0; 8 * VECTORS * 16]);
        for step in self.steps {
            let pixels = step.size[0] * step.size[1];
            let part = self.blocking.part(self.block) * step.part;
            let factors = (
                step.factors[part..][..step.part].as_ptr(),
                self.blocking.of_images,
            );
            assert!(source.len() >= step.from() * lanes && target.len() >= step.to() * lanes);
            let out = target.as_mut_ptr();
            match &step.convolution {
                None => {
                    let each = step.channels * step.terms * lanes;
                    for pixel in 0..pixels {
                        // SAFETY: the buffers hold whole maps, and the part its factors: checked above.
                        unsafe {
                            let values = source.as_ptr().add(pixel * each);
                            step.finish::<V>(values, 0..step.channels, pixel, factors, lanes, out);
                        }
                    }
                }
                Some((packed, links)) => {
                    for &(first, count) in packed.tiles() {
                        let weights = packed.tile(first);
                        let channels = first / step.terms..(first + count) / step.terms;
                        for pixel in 0..pixels {
                            // SAFETY: as above; the links lie in the source's maps, a tile has at most eight rows, and the
                            // weights are packed for these tiles.
                            unsafe {
                                let values = scratch.0.as_mut_ptr();
                                sum::<V>(
                                    count,
                                    lanes,
                                    links.of(pixel),
                                    weights,
                                    zeros.as_ptr(),
                                    Finish::Plain,
                                    source.as_ptr(),
                                    step.sources,
                                    values,
                                );
                                let channels = channels.clone();
                                step.finish::<V>(values, channels, pixel, factors, lanes, out);
                            }
                        }
                    }
                }
            }
            std::mem::swap(&mut source, &mut target);
        }
        self.scatter(source);
    }
}
