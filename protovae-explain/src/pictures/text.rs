//! Text on pictures, in Noto Sans Mono, without a font on the system.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{
    FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width,
};

/// How text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextStyle {
    /// Lines 20 pixels high in place of 16.
    pub large: bool,
    /// Bold in place of regular.
    pub bold: bool,
    /// The colour of the letters.
    pub colour: Rgb<u8>,
}

impl TextStyle {
    /// 16 pixels high, regular, black.
    pub const PLAIN: Self = Self {
        large: false,
        bold: false,
        colour: Rgb([0; 3]),
    };

    /// The same in bold.
    pub const BOLD: Self = Self {
        bold: true,
        ..Self::PLAIN
    };

    /// Height of a line in pixels.
    pub fn height(&self) -> usize {
        self.raster().val()
    }

    /// Width of every character in pixels.
    pub fn character_width(&self) -> usize {
        get_raster_width(self.weight(), self.raster())
    }

    fn weight(&self) -> FontWeight {
        if self.bold {
            FontWeight::Bold
        } else {
            FontWeight::Regular
        }
    }

    fn raster(&self) -> RasterHeight {
        if self.large {
            RasterHeight::Size20
        } else {
            RasterHeight::Size16
        }
    }
}

/// Not in the font, so drawn as three dots.
const ELLIPSIS: char = '…';

/// Width of `text` in pixels.
pub fn text_width(text: &str, style: TextStyle) -> usize {
    text.chars().count() * style.character_width()
}

/// `text`, or as much of its beginning as fits `width` pixels together with an ellipsis.
///
/// ```
/// use protovae_explain::pictures::{TextStyle, truncate_text};
/// let seven = 7 * TextStyle::PLAIN.character_width();
/// assert_eq!(truncate_text("airplane", seven, TextStyle::PLAIN), "airpla…");
/// assert_eq!(truncate_text("frog", seven, TextStyle::PLAIN), "frog");
/// ```
pub fn truncate_text(text: &str, width: usize, style: TextStyle) -> String {
    let room = width / style.character_width();
    if text.chars().nth(room).is_none() {
        return text.to_string();
    }
    let mut short: String = text.chars().take(room.saturating_sub(1)).collect();
    if room > 0 {
        short.push(ELLIPSIS);
    }
    short
}

/// Draws one line of `text` with its upper left corner at `(x, y)`; what lies outside the picture is left out.
///
/// Latin letters, digits and the signs of Latin-1 can be drawn; other characters become `?`, line breaks and the like spaces.
pub fn draw_text(picture: &mut RgbImage, (x, y): (i64, i64), text: &str, style: TextStyle) {
    let step = style.character_width() as i64;
    let mut left = x;
    for character in text.chars() {
        if left >= i64::from(picture.width()) {
            break;
        }
        if character == ELLIPSIS {
            draw_ellipsis(picture, (left, y), style);
        } else if let Some(glyph) = glyph(character, style) {
            for (row, intensities) in glyph.rows().enumerate() {
                for (column, intensity) in intensities.iter().enumerate() {
                    let at = (left + column as i64, y + row as i64);
                    blend(picture, at, *intensity, style.colour);
                }
            }
        }
        left = left.saturating_add(step);
    }
}

/// The glyph of a character or of what stands in for it.
fn glyph(character: char, style: TextStyle) -> Option<RasterizedChar> {
    let character = match character {
        control if control.is_control() => ' ',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{2018}' | '\u{2019}' => '\'',
        '\u{201C}' | '\u{201D}' => '"',
        // Greek mu; Latin-1 has the micro sign.
        'μ' => 'µ',
        other => other,
    };
    let raster = |character| get_raster(character, style.weight(), style.raster());
    raster(character).or_else(|| raster('?'))
}

fn draw_ellipsis(picture: &mut RgbImage, (x, y): (i64, i64), style: TextStyle) {
    let width = style.character_width() as i64;
    // The baseline lies at about four fifths of the line.
    let base = y + style.height() as i64 * 4 / 5;
    for dot in 0..3 {
        let left = x + dot * width / 3 + 1;
        for row in 1..=2 {
            blend(picture, (left, base - row), u8::MAX, style.colour);
        }
    }
}

/// Mixes `colour` into a pixel, if there is one.
fn blend(picture: &mut RgbImage, (x, y): (i64, i64), intensity: u8, colour: Rgb<u8>) {
    let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else {
        return;
    };
    if let Some(pixel) = picture.get_pixel_mut_checked(x, y) {
        let intensity = u32::from(intensity);
        for (under, over) in pixel.0.iter_mut().zip(colour.0) {
            let mixed = u32::from(*under) * (255 - intensity) + u32::from(over) * intensity;
            *under = ((mixed + 127) / 255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str, style: TextStyle) -> RgbImage {
        let mut picture = RgbImage::from_pixel(64, 24, Rgb([255; 3]));
        draw_text(&mut picture, (0, 0), text, style);
        picture
    }

    fn ink(picture: &RgbImage) -> u64 {
        picture.pixels().map(|p| 255 - u64::from(p.0[0])).sum()
    }

    #[test]
    fn letters_are_blended_as_the_font_says() {
        let picture = drawn("A", TextStyle::PLAIN);
        let raster = get_raster('A', FontWeight::Regular, RasterHeight::Size16);
        assert!(raster.is_some());
        for (y, row) in raster.iter().flat_map(|raster| raster.rows()).enumerate() {
            for (x, intensity) in row.iter().enumerate() {
                let pixel = picture.get_pixel(x as u32, y as u32).0;
                assert_eq!(pixel, [255 - intensity; 3], "{x},{y}");
            }
        }
        assert!(ink(&drawn("A", TextStyle::BOLD)) > ink(&picture));
    }

    #[test]
    fn characters_outside_the_font_have_stand_ins() {
        let plain = |text| drawn(text, TextStyle::PLAIN);
        assert_eq!(plain("漢"), plain("?"));
        assert_eq!(plain("🦀"), plain("?"));
        assert_eq!(plain("a\nb"), plain("a b"));
        assert_eq!(plain("−1"), plain("-1"));
        assert_ne!(plain("é"), plain("?"));
        assert_ne!(plain("…"), plain("?"));
        assert!(ink(&plain("…")) > 0);
    }

    #[test]
    fn text_beyond_the_edges_is_left_out() {
        let mut picture = RgbImage::from_pixel(5, 5, Rgb([255; 3]));
        let far = [(-3, -3), (4, 4), (i64::MAX, 0), (0, -i64::MAX), (900, 900)];
        for at in far {
            draw_text(&mut picture, at, "Wide text…", TextStyle::PLAIN);
        }
        assert_eq!(picture.dimensions(), (5, 5));
    }

    #[test]
    fn truncated_text_fits() {
        let style = TextStyle::PLAIN;
        for width in 0..80 {
            let short = truncate_text("überlänge", width, style);
            assert!(text_width(&short, style) <= width, "{width}: {short}");
        }
        assert_eq!(truncate_text("überlänge", 63, style), "überlänge");
    }
}
