//! What the colours of relevance mean.

use image::{Rgb, RgbImage, imageops};

use super::colour::diverging_colour;
use super::number::brief_number;
use super::text::{TextStyle, draw_text, text_width};

/// A horizontal bar of the colours of relevance: "against" at its left end, "for" at its right.
///
/// ```
/// use protovae_explain::pictures::Legend;
/// let picture = Legend { limit: Some(0.25) }.draw(200);
/// assert_eq!(picture.dimensions(), (200, Legend::HEIGHT));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Legend {
    /// The relevance that takes the full colour, if it is one for all maps; without, the ends read `-max` and `+max`.
    pub limit: Option<f32>,
}

/// Height of the bar itself.
const BAR: u32 = 12;

impl Legend {
    /// Height in pixels.
    pub const HEIGHT: u32 = BAR + 2 * 16 + 4;
    /// Widths that can be drawn, in pixels.
    pub const WIDTHS: std::ops::RangeInclusive<u32> = 160..=4096;

    /// The legend on white, as close to `width` pixels wide as [`Self::WIDTHS`] allows.
    pub fn draw(&self, width: u32) -> RgbImage {
        let width = width.clamp(*Self::WIDTHS.start(), *Self::WIDTHS.end());
        let mut picture = RgbImage::from_pixel(width, Self::HEIGHT, Rgb([255; 3]));
        let text = TextStyle::PLAIN;
        let line = text.height() as u32;
        let bar = RgbImage::from_fn(width, BAR, |x, y| {
            let edge = x == 0 || y == 0 || x == width - 1 || y == BAR - 1;
            if edge {
                return Rgb([128; 3]);
            }
            diverging_colour(2.0 * x as f32 / (width - 1) as f32 - 1.0)
        });
        imageops::replace(&mut picture, &bar, 0, i64::from(line + 2));
        let mut write = |words: &str, share: f64, y: u32| {
            let room = f64::from(width) - text_width(words, text) as f64;
            draw_text(
                &mut picture,
                ((share * room).round() as i64, y.into()),
                words,
                text,
            );
        };
        let (low, high) = match self.limit {
            Some(limit) => (
                brief_number(f64::from(-limit)),
                brief_number(f64::from(limit)),
            ),
            None => ("-max".to_string(), "+max".to_string()),
        };
        let under = line + BAR + 4;
        write("against", 0.0, 0);
        write("for", 1.0, 0);
        write(&low, 0.0, under);
        write("0", 0.5, under);
        write(&high, 1.0, under);
        picture
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_runs_from_blue_through_neutral_to_red() {
        let picture = Legend::default().draw(201);
        let bar = |x| *picture.get_pixel(x, 16 + 2 + BAR / 2);
        assert_eq!(bar(100), diverging_colour(0.0));
        assert_eq!(bar(150), diverging_colour(0.5));
        assert_eq!(bar(50), diverging_colour(-0.5));
        assert_eq!(bar(0), Rgb([128; 3]));
    }

    #[test]
    fn limits_of_any_kind_can_be_drawn() {
        for limit in [0.0, f32::NAN, f32::INFINITY, 1e-30, f32::MAX] {
            let legend = Legend { limit: Some(limit) };
            assert_eq!(legend.draw(0).dimensions(), (160, Legend::HEIGHT));
            assert_eq!(legend.draw(u32::MAX).width(), 4096);
        }
    }
}
