//! How feature maps lie in memory between the kernels, and the way there and back.
//!
//! Images are taken in blocks of one or two vectors' worth. Within a block the image is the innermost index, then the
//! channel, then the pixel: `[block][row][column][channel][image]`. Every operation of a network treats all images alike, so
//! that every access is a whole aligned vector, whatever the size of the maps: a 2×2 map is as cheap a pixel as a 28×28 one.
//! Padding costs nothing, because each output pixel is summed over the taps that fall inside the map and no others.
//!
//! If the batch does not fill its last block, the lanes beyond it hold zeros in the input and anything later. Nothing
//! mixes lanes but sums over the batch: those leave them out ([`Layout::filled`]), and gradients are zero in them.

use rayon::prelude::*;

use super::buffer::Shared;
use super::vector::Level;

/// Shape of the maps and their blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Images.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Height and width.
    pub size: [usize; 2],
    /// Images of a block.
    pub lanes: usize,
}

impl Layout {
    /// For so many images of that shape; none if there is nothing in them.
    pub fn new([batch, channels, height, width]: [usize; 4]) -> Option<Self> {
        let vector = Level::get().lanes();
        // Two vectors a block make better use of the registers, unless too many lanes would stay empty.
        let empty = batch.next_multiple_of(2 * vector) - batch.next_multiple_of(vector);
        let lanes = if empty <= batch / 8 {
            2 * vector
        } else {
            vector
        };
        let filled = batch > 0 && channels > 0 && height > 0 && width > 0;
        filled.then_some(Self {
            batch,
            channels,
            size: [height, width],
            lanes,
        })
    }

    /// The same images with other channels and size.
    pub fn with(self, channels: usize, size: [usize; 2]) -> Self {
        Self {
            channels,
            size,
            ..self
        }
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.batch.div_ceil(self.lanes)
    }

    /// Images in a block; fewer than lanes in the last one, perhaps.
    pub fn filled(&self, block: usize) -> usize {
        (self.batch - block * self.lanes).min(self.lanes)
    }

    /// Pixels of a map.
    pub fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Values of a pixel in a block.
    pub fn pixel(&self) -> usize {
        self.channels * self.lanes
    }

    /// Values of a row of pixels in a block.
    pub fn row(&self) -> usize {
        self.size[1] * self.pixel()
    }

    /// Values of a block.
    pub fn block(&self) -> usize {
        self.pixels() * self.pixel()
    }

    /// Values in all.
    pub fn values(&self) -> usize {
        self.blocks() * self.block()
    }

    /// Values of an image on its own.
    pub fn image(&self) -> usize {
        self.pixels() * self.channels
    }

    /// The tensor's shape.
    pub fn shape(&self) -> [usize; 4] {
        [self.blocks(), self.pixels(), self.channels, self.lanes]
    }

    /// Shape as images.
    pub fn images(&self) -> [usize; 4] {
        let [height, width] = self.size;
        [self.batch, self.channels, height, width]
    }

    /// Rows of pixels of all blocks, in groups large enough to be worth a thread: calls `work` with a block and a range
    /// of rows. The groups depend on the layout alone, and so do results that are gathered by group.
    pub fn each_group<T: Send>(
        &self,
        work: impl Fn(usize, std::ops::Range<usize>) -> T + Sync,
    ) -> Vec<T> {
        let rows = self.rows_of_a_group();
        let groups = self.size[0].div_ceil(rows);
        (0..self.blocks() * groups)
            .into_par_iter()
            .with_max_len(1)
            .map(|task| {
                let first = task % groups * rows;
                work(task / groups, first..(first + rows).min(self.size[0]))
            })
            .collect()
    }

    fn rows_of_a_group(&self) -> usize {
        const VALUES: usize = 1 << 15;
        VALUES.div_ceil(self.row()).min(self.size[0])
    }
}

/// Images `[N, C, H, W]` into blocks. Lanes without an image become zero.
///
/// # Safety
/// `to` holds the layout's values, all of which are written.
pub unsafe fn into_blocks(layout: &Layout, images: &[f32], to: Shared) {
    assert!(images.len() == layout.batch * layout.image());
    let (pixels, channels, lanes) = (layout.pixels(), layout.channels, layout.lanes);
    let width = layout.size[1];
    layout.each_group(|block, rows| {
        let filled = layout.filled(block);
        let images = &images[block * lanes * layout.image()..][..filled * layout.image()];
        for channel in 0..channels {
            for pixels_here in runs_of(rows.start * width..rows.end * width) {
                let at = block * layout.block() + channel * lanes;
                for (lane, image) in images.chunks_exact(layout.image()).enumerate() {
                    let from = &image[channel * pixels..][pixels_here.clone()];
                    for (pixel, &value) in pixels_here.clone().zip(from) {
                        // SAFETY: the group's own values, within the layout.
                        unsafe { to.at(at + pixel * layout.pixel() + lane).write(value) };
                    }
                }
                for pixel in pixels_here {
                    for lane in filled..lanes {
                        // SAFETY: as above.
                        unsafe { to.at(at + pixel * layout.pixel() + lane).write(0.0) };
                    }
                }
            }
        }
    });
}

/// Blocks into images `[N, C, H, W]`.
///
/// # Safety
/// `to` holds `batch · image` values, all of which are written.
pub unsafe fn into_images(layout: &Layout, blocks: &[f32], to: Shared) {
    assert!(blocks.len() == layout.values());
    let (pixels, channels, lanes) = (layout.pixels(), layout.channels, layout.lanes);
    let width = layout.size[1];
    layout.each_group(|block, rows| {
        let from = &blocks[block * layout.block()..][..layout.block()];
        let filled = layout.filled(block);
        for channel in 0..channels {
            for pixels_here in runs_of(rows.start * width..rows.end * width) {
                for lane in 0..filled {
                    let first = (block * lanes + lane) * layout.image() + channel * pixels;
                    for pixel in pixels_here.clone() {
                        let value = from[pixel * layout.pixel() + channel * lanes + lane];
                        // SAFETY: this image's rows of this group, within the images.
                        unsafe { to.at(first + pixel).write(value) };
                    }
                }
            }
        }
    });
}

/// Pixels in runs of a cache line: images lie a multiple of a page apart, so that their lines share few sets of the cache, and
/// each is to be used up before the next one comes.
fn runs_of(pixels: std::ops::Range<usize>) -> impl Iterator<Item = std::ops::Range<usize>> {
    let end = pixels.end;
    pixels
        .step_by(16)
        .map(move |start| start..(start + 16).min(end))
}

/// Maps of one pixel and `C·P` channels into maps of `P` pixels and `C` channels (`forth`), in the order in which images
/// are flattened, or back.
///
/// # Safety
/// `to` holds as many values as `from`, all of which are written; `layout` is that of the `P` pixels.
pub unsafe fn rearrange(layout: &Layout, from: &[f32], to: Shared, forth: bool) {
    assert!(from.len() == layout.values());
    let (pixels, channels, lanes) = (layout.pixels(), layout.channels, layout.lanes);
    (0..layout.blocks())
        .into_par_iter()
        .with_max_len(1)
        .for_each(|block| {
            let base = block * layout.block();
            for pixel in 0..pixels {
                for channel in 0..channels {
                    let maps = base + (pixel * channels + channel) * lanes;
                    let flat = base + (channel * pixels + pixel) * lanes;
                    let (source, target) = if forth { (flat, maps) } else { (maps, flat) };
                    // SAFETY: this block's own values, each written once.
                    unsafe {
                        let from = from[source..][..lanes].as_ptr();
                        std::ptr::copy_nonoverlapping(from, to.at(target), lanes);
                    }
                }
            }
        });
}
