//! Shapes of a convolution, and which pixels its taps join.
//!
//! A convolution has a *big* side (the input of a convolution, the output of a transposed one) and a *small* side. Tap
//! `(ki, kj)` joins pixel `(a, b)` of the small side with `(a·stride + ki − padding, b·stride + kj − padding)` of the big
//! one, if that is inside. A convolution sums over the links of each small pixel, a transposed one (and the gradient of
//! a convolution's input) over those of each big pixel.

use std::ops::Range;

/// Shapes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Images.
    pub batch: usize,
    /// Channels of the big side.
    pub big: usize,
    /// Channels of the small side.
    pub small: usize,
    /// Height and width of the big side.
    pub size: [usize; 2],
    /// Height and width of the small side.
    pub out: [usize; 2],
    /// Side of the kernel.
    pub kernel: usize,
    /// Stride, both ways.
    pub stride: usize,
    /// Padding of the big side.
    pub padding: usize,
}

impl Geometry {
    /// Shapes of a convolution; none if they do not fit together or are not for these kernels.
    pub fn convolution(
        input: [usize; 4],
        weight: [usize; 4],
        bias: usize,
        stride: usize,
        padding: usize,
    ) -> Option<Self> {
        let [batch, big, height, width] = input;
        let [small, channels, kernel, kernel_width] = weight;
        if channels != big || bias != small || kernel != kernel_width || stride == 0 || kernel == 0
        {
            return None;
        }
        let out = |size: usize| Some((size + 2 * padding).checked_sub(kernel)? / stride + 1);
        let geometry = Self {
            batch,
            big,
            small,
            size: [height, width],
            out: [out(height)?, out(width)?],
            kernel,
            stride,
            padding,
        };
        geometry.not_empty()
    }

    /// Shapes of a transposed convolution; none if they do not fit together or are not for these kernels.
    pub fn transposed(
        input: [usize; 4],
        weight: [usize; 4],
        bias: usize,
        stride: usize,
        padding: usize,
    ) -> Option<Self> {
        let [batch, small, height, width] = input;
        let [channels, big, kernel, kernel_width] = weight;
        if channels != small || bias != big || kernel != kernel_width || stride == 0 || kernel == 0
        {
            return None;
        }
        let size = |out: usize| (out.checked_sub(1)? * stride + kernel).checked_sub(2 * padding);
        let geometry = Self {
            batch,
            big,
            small,
            size: [size(height)?, size(width)?],
            out: [height, width],
            kernel,
            stride,
            padding,
        };
        geometry.not_empty()
    }

    fn not_empty(self) -> Option<Self> {
        let sizes = [
            self.batch,
            self.big,
            self.small,
            self.size[0],
            self.size[1],
            self.out[0],
            self.out[1],
        ];
        (!sizes.contains(&0)).then_some(self)
    }

    /// Taps of a channel.
    pub fn square(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Where on the big side, along an axis, the tap at `offset` from pixel `at` of the small side lies.
    pub fn joined(&self, axis: usize, at: usize, offset: usize) -> Option<usize> {
        let position = (at * self.stride + offset).checked_sub(self.padding)?;
        (position < self.size[axis]).then_some(position)
    }

    /// Where on the small side, along an axis, the window lies whose tap at `offset` sees pixel `at` of the big side.
    fn joining(&self, axis: usize, at: usize, offset: usize) -> Option<usize> {
        let position = (at + self.padding).checked_sub(offset)?;
        let window = position / self.stride;
        (position % self.stride == 0 && window < self.out[axis]).then_some(window)
    }

    /// Products of one image: links of all pixels by channels of both sides.
    pub fn products(&self) -> usize {
        let links = |axis: usize| -> usize {
            let at = 0..self.out[axis];
            at.map(|at| {
                (0..self.kernel)
                    .filter(|&tap| self.joined(axis, at, tap).is_some())
                    .count()
            })
            .sum()
        };
        links(0) * links(1) * self.small * self.big
    }

    /// For each pixel in some rows of the small side, the pixels of the big one that it sees.
    pub fn down_links(&self, rows: Range<usize>) -> Links {
        let widths = [self.out[1], self.size[1]];
        Links::new(self.kernel, rows, widths, |axis, at, offset| {
            self.joined(axis, at, offset)
        })
    }

    /// For each pixel in some rows of the big side, the pixels of the small one that see it.
    pub fn up_links(&self, rows: Range<usize>) -> Links {
        let widths = [self.size[1], self.out[1]];
        Links::new(self.kernel, rows, widths, |axis, at, offset| {
            self.joining(axis, at, offset)
        })
    }
}

/// A pixel, and the tap through which it is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Index of the pixel in its map.
    pub pixel: usize,
    /// Index of the tap in the kernel.
    pub tap: usize,
}

/// The links of the pixels of some rows.
#[derive(Clone, Debug)]
pub struct Links {
    /// The first pixel.
    first: usize,
    /// Where a pixel's links begin, and, as the last one, where they all end.
    begins: Vec<usize>,
    links: Vec<Link>,
}

impl Links {
    /// Links of rows of one side, `widths[0]` wide, to the other, `widths[1]` wide; `other(axis, at, offset)` is where along
    /// an axis the pixel lies that a tap joins with the one at `at`.
    fn new(
        kernel: usize,
        rows: Range<usize>,
        widths: [usize; 2],
        other: impl Fn(usize, usize, usize) -> Option<usize>,
    ) -> Self {
        let columns: Vec<Option<usize>> = (0..widths[0] * kernel)
            .map(|index| other(1, index / kernel, index % kernel))
            .collect();
        let mut begins = Vec::with_capacity(rows.len() * widths[0] + 1);
        let mut links = Vec::with_capacity(rows.len() * widths[0] * kernel * kernel);
        let first = rows.start * widths[0];
        for row in rows {
            let lines: Vec<(usize, usize)> = (0..kernel)
                .filter_map(|offset| Some((offset, other(0, row, offset)?)))
                .collect();
            for columns in columns.chunks_exact(kernel) {
                begins.push(links.len());
                for &(line, at) in &lines {
                    for (offset, column) in columns.iter().enumerate() {
                        if let Some(column) = column {
                            links.push(Link {
                                pixel: at * widths[1] + column,
                                tap: line * kernel + offset,
                            });
                        }
                    }
                }
            }
        }
        begins.push(links.len());
        Self {
            first,
            begins,
            links,
        }
    }

    /// The links of a pixel.
    pub fn of(&self, pixel: usize) -> &[Link] {
        let index = pixel - self.first;
        &self.links[self.begins[index]..self.begins[index + 1]]
    }
}
