//! Shapes of a convolution, and the flat layout in which it becomes one long sum of shifted vectors.
//!
//! A convolution has a *big* side (the input of a convolution, the output of a transposed one) and a *small* side.
//! Output position `(a, b)` reads input position `(a·stride + ki, b·stride + kj)`. Split the padded big side into
//! `stride²` phases, by row and column modulo the stride: then tap `(ki, kj)` reads phase `(ki % stride, kj % stride)`
//! at `(a + ki / stride, b + kj / stride)`. Give both sides rows of the same pitch, and the tap is a constant offset in
//! flat memory: `small[p] += weight · phase[p + offset]` for all `p` at once, across the ends of rows and of images.
//! What is computed at positions between the rows is thrown away; the zeros there are shared between the end of a row
//! and the start of the next, so for a padded 3×3 convolution it is one column in `width + 1`.

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

    /// Weights a small channel.
    pub fn taps(&self) -> usize {
        self.big * self.kernel * self.kernel
    }

    /// Values of an image on the big side.
    pub fn big_image(&self) -> usize {
        self.big * self.size[0] * self.size[1]
    }

    /// Values of an image on the small side.
    pub fn small_image(&self) -> usize {
        self.small * self.out[0] * self.out[1]
    }

    /// How far a tap reaches beyond its output position, in rows of a phase.
    pub fn reach(&self) -> usize {
        (self.kernel - 1) / self.stride
    }

    /// Where, along an axis of phase `phase`, the values of the image lie; between the two ends of the padding.
    pub fn inside(&self, axis: usize, phase: usize) -> (usize, usize) {
        let first = self.padding.saturating_sub(phase).div_ceil(self.stride);
        let after = self.size[axis] + self.padding;
        // Values beyond the last output position are read by no tap.
        let end = after
            .saturating_sub(phase)
            .div_ceil(self.stride)
            .min(self.out[axis] + self.reach());
        if first < end { (first, end) } else { (0, 0) }
    }

    /// Whether taps reach every value of the big side.
    pub fn covers(&self) -> bool {
        (0..2).all(|axis| {
            (self.out[axis] + self.reach()) * self.stride >= self.size[axis] + self.padding
        })
    }

    /// Smallest pitch along an axis at which rows may share their zeros.
    fn pitch(&self, axis: usize) -> usize {
        let mut pitch = self.out[axis];
        for phase in 0..self.stride {
            let (first, end) = self.inside(axis, phase);
            if first < end {
                pitch = pitch
                    .max((self.out[axis] + self.reach()).saturating_sub(first))
                    .max(end);
            }
        }
        pitch
    }
}

/// Positions that a group of images should have: enough to amortise the work around a sweep, few enough for the caches.
const POSITIONS: usize = 1024;

/// Values that a plane is rounded to: the widest vector.
const ROUND: usize = 16;

/// How a group of images lies in memory.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Values from a row to the next.
    pub pitch: usize,
    /// Rows from an image to the next.
    pub rows: usize,
    /// Images of a group; the last one may have fewer.
    pub images: usize,
    /// Values from a plane (a channel's phase) to the next on the big side.
    pub big_plane: usize,
    /// Values from a plane to the next on the small side.
    pub small_plane: usize,
    /// Zeros in front of a plane of the small side.
    pub front: usize,
    /// Values from a plane of the output to the next.
    pub out_plane: usize,
}

impl Layout {
    /// The layout for a geometry; it depends on nothing else, so that results do not either.
    pub fn new(geometry: &Geometry) -> Self {
        let (rows, pitch) = (geometry.pitch(0), geometry.pitch(1));
        // At least eight groups, for the threads.
        let images = (POSITIONS / (rows * pitch))
            .min(geometry.batch.div_ceil(8))
            .max(1);
        let positions = images * rows * pitch;
        let margin = geometry.reach() * (pitch + 1);
        let rounded = positions.next_multiple_of(ROUND);
        let front = margin.next_multiple_of(ROUND);
        Self {
            pitch,
            rows,
            images,
            big_plane: plane(rounded + margin),
            small_plane: plane(front + rounded),
            front,
            out_plane: plane(rounded),
        }
    }

    /// Positions of `images` images.
    pub fn positions(&self, images: usize) -> usize {
        images * self.rows * self.pitch
    }
}

/// A stride for planes: an odd number of cache lines, so that planes spread over the sets of the cache.
fn plane(values: usize) -> usize {
    (values.div_ceil(ROUND) | 1) * ROUND
}
