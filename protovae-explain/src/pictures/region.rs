//! Parts of pictures: with a box around them, and alone.

use image::{Rgb, RgbImage, imageops};
use protovae_core::model::Region;

/// The colour of boxes: seen on black, on white, and on both the colours of relevance.
const BOX: Rgb<u8> = Rgb([255, 196, 0]);

/// The line beside a box, for pictures as light as it.
const SHADOW: Rgb<u8> = Rgb([0; 3]);

/// A region's sides in a picture of `enlargement` times the size: left, top, right and bottom, the last two exclusive, and at
/// least one pixel inside the picture.
fn sides(picture: &RgbImage, region: Region, enlargement: usize) -> [u32; 4] {
    let scaled = |pixel: usize| pixel.saturating_mul(enlargement.max(1));
    let clip = |pixel: usize, most: u32| u32::try_from(pixel).map_or(most, |pixel| pixel.min(most));
    let [width, height] = [picture.width(), picture.height()];
    let left = clip(scaled(region.left), width.saturating_sub(1));
    let top = clip(scaled(region.top), height.saturating_sub(1));
    let right = clip(scaled(region.left.saturating_add(region.width)), width);
    let bottom = clip(scaled(region.top.saturating_add(region.height)), height);
    [left, top, right.max(left + 1), bottom.max(top + 1)]
}

/// A picture, a pixel of which is `enlargement` wide, with a box around a region of its pixels.
///
/// The line runs outside the region, so that it hides nothing of it, but where the picture ends.
///
/// ```
/// use image::RgbImage;
/// use protovae_core::model::Region;
/// use protovae_explain::pictures::boxed;
/// let region = Region { top: 1, left: 1, height: 2, width: 2 };
/// let picture = boxed(&RgbImage::new(16, 16), region, 4);
/// assert_eq!(picture.get_pixel(3, 3).0, [255, 196, 0]);
/// assert_eq!(picture.get_pixel(5, 5).0, [0; 3]);
/// ```
pub fn boxed(picture: &RgbImage, region: Region, enlargement: usize) -> RgbImage {
    let mut drawn = picture.clone();
    if picture.width() == 0 || picture.height() == 0 {
        return drawn;
    }
    let [left, top, right, bottom] = sides(picture, region, enlargement);
    let thickness = if enlargement > 1 { 2 } else { 1 };
    let mut frame = |beyond: u32, colour: Rgb<u8>| {
        let (x0, y0) = (left.saturating_sub(beyond), top.saturating_sub(beyond));
        let x1 = (right - 1 + beyond).min(picture.width() - 1);
        let y1 = (bottom - 1 + beyond).min(picture.height() - 1);
        for x in x0..=x1 {
            drawn.put_pixel(x, y0, colour);
            drawn.put_pixel(x, y1, colour);
        }
        for y in y0..=y1 {
            drawn.put_pixel(x0, y, colour);
            drawn.put_pixel(x1, y, colour);
        }
    };
    if enlargement > 1 {
        frame(thickness + 1, SHADOW);
    }
    // From the outside inwards, so that at the picture's ends the box is over its shadow.
    for beyond in (1..=thickness).rev() {
        frame(beyond, BOX);
    }
    drawn
}

/// A region of a picture, a pixel of which is `enlargement` wide, alone.
///
/// ```
/// use image::RgbImage;
/// use protovae_core::model::Region;
/// use protovae_explain::pictures::cut_out;
/// let region = Region { top: 1, left: 0, height: 2, width: 3 };
/// assert_eq!(cut_out(&RgbImage::new(16, 16), region, 4).dimensions(), (12, 8));
/// ```
pub fn cut_out(picture: &RgbImage, region: Region, enlargement: usize) -> RgbImage {
    if picture.width() == 0 || picture.height() == 0 {
        return picture.clone();
    }
    let [left, top, right, bottom] = sides(picture, region, enlargement);
    imageops::crop_imm(picture, left, top, right - left, bottom - top).to_image()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_at_and_beyond_the_edges() {
        let picture = RgbImage::new(12, 12);
        let whole = Region::whole(3, 3);
        assert_eq!(cut_out(&picture, whole, 4).dimensions(), (12, 12));
        let beyond = Region {
            top: 2,
            left: 99,
            height: usize::MAX,
            width: 7,
        };
        assert_eq!(cut_out(&picture, beyond, 4).dimensions(), (1, 4));
        for region in [whole, beyond] {
            assert_eq!(boxed(&picture, region, 4).dimensions(), (12, 12));
        }
        // The line stays inside the picture.
        assert_eq!(boxed(&picture, whole, 4).get_pixel(0, 5).0, BOX.0);
    }
}
