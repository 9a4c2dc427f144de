//! Shapes of a convolution, and which pixels its taps join.
//!
//! A convolution has a *big* side (the input of a convolution, the output of a transposed one) and a *small* side. Tap
//! `(ki, kj)` joins pixel `(a, b)` of the small side with `(a·stride + ki − padding, b·stride + kj − padding)` of the big
//! one, if that is inside. A convolution sums over the links of each small pixel, a transposed one (and the gradient of
//! a convolution's input) over those of each big pixel.

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

    /// All links, by pixel of the small side.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let [height, width] = self.out;
        (0..height * width).flat_map(move |small| {
            (0..self.square()).filter_map(move |tap| {
                let row = self.joined(0, small / width, tap / self.kernel)?;
                let column = self.joined(1, small % width, tap % self.kernel)?;
                Some((small, row * self.size[1] + column, tap))
            })
        })
    }

    /// For each pixel of the small side, the pixels of the big one that it sees.
    pub fn down_links(&self) -> Links {
        let pixels = self.out[0] * self.out[1];
        Links::collect(pixels, || {
            self.pairs()
                .map(|(small, big, tap)| (small, Link { pixel: big, tap }))
        })
    }

    /// For each pixel of the big side, the pixels of the small one that see it.
    pub fn up_links(&self) -> Links {
        let pixels = self.size[0] * self.size[1];
        Links::collect(pixels, || {
            self.pairs()
                .map(|(small, big, tap)| (big, Link { pixel: small, tap }))
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

/// The links of every pixel of a map.
#[derive(Clone, Debug)]
pub struct Links {
    /// Where a pixel's links begin, and, as the last one, where they all end.
    firsts: Vec<usize>,
    links: Vec<Link>,
}

impl Links {
    /// Sorts links by pixel; those of one pixel stay in their order.
    fn collect<I: Iterator<Item = (usize, Link)>>(pixels: usize, links: impl Fn() -> I) -> Self {
        let mut firsts = vec![0; pixels + 1];
        for (pixel, _) in links() {
            firsts[pixel + 1] += 1;
        }
        for pixel in 0..pixels {
            firsts[pixel + 1] += firsts[pixel];
        }
        let mut next = firsts.clone();
        let mut sorted = vec![Link::default(); firsts[pixels]];
        for (pixel, link) in links() {
            sorted[next[pixel]] = link;
            next[pixel] += 1;
        }
        Self {
            firsts,
            links: sorted,
        }
    }

    /// The links of a pixel.
    pub fn of(&self, pixel: usize) -> &[Link] {
        &self.links[self.firsts[pixel]..self.firsts[pixel + 1]]
    }
}
