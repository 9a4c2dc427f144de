//! The colours of relevance.

use image::Rgb;

/// How much of the gradient's half is used: its very ends are so dark that red and blue would look alike on black.
const REACH: f64 = 0.8;

/// All channels of the colour of zero.
const NEUTRAL: f64 = 240.0;

/// The colour of a relevance between −1 and 1: red speaks for the target, blue against it, near-white is neither.
///
/// Values beyond are cut off; NaN is neutral. The colours are ColorBrewer's RdBu, which people with red-green blindness can
/// tell apart, and two values that differ in sign only are about equally light.
///
/// ```
/// use protovae_explain::pictures::diverging_colour;
/// let [red, _, blue] = diverging_colour(1.0).0;
/// assert!(red > 2 * blue);
/// assert_eq!(diverging_colour(f32::NAN), diverging_colour(0.0));
/// ```
pub fn diverging_colour(value: f32) -> Rgb<u8> {
    let value = if value.is_nan() {
        0.0
    } else {
        f64::from(value.clamp(-1.0, 1.0))
    };
    // The gradient runs from red at 0 to blue at 1.
    let at = |value: f64| {
        let colour = colorous::RED_BLUE.eval_continuous(0.5 - 0.5 * REACH * value);
        [colour.r, colour.g, colour.b].map(f64::from)
    };
    // Its middle is a little red: weak relevance against would look as if it were for.
    let (mut colour, middle) = (at(value), at(0.0));
    for (channel, middle) in colour.iter_mut().zip(middle) {
        *channel += (1.0 - value.abs()) * (NEUTRAL - middle);
    }
    Rgb(colour.map(|channel| channel.round() as u8))
}

/// `0.2126 R + 0.7152 G + 0.0722 B`, the luma of ITU-R BT.709, between 0 and 255.
pub(super) fn luminance([red, green, blue]: [u8; 3]) -> f32 {
    0.2126 * f32::from(red) + 0.7152 * f32::from(green) + 0.0722 * f32::from(blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_near_white_and_the_ends_are_red_and_blue() {
        let zero = diverging_colour(0.0).0;
        assert_eq!(zero, [240; 3]);
        let [red, green, blue] = diverging_colour(1.0).0;
        assert!(red > 150 && green < 60 && blue < 80);
        let [red, green, blue] = diverging_colour(-1.0).0;
        assert!(blue > 150 && red < 80 && green < 120);
        assert_eq!(diverging_colour(7.0), diverging_colour(1.0));
        assert_eq!(diverging_colour(f32::NEG_INFINITY), diverging_colour(-1.0));
        assert_eq!(diverging_colour(-0.0), diverging_colour(0.0));
    }

    #[test]
    fn stronger_relevance_is_darker_and_hue_follows_the_sign() {
        let mut before = [luminance(diverging_colour(0.0).0); 2];
        for step in 1..=20 {
            let value = step as f32 / 20.0;
            let (speaks_for, against) = (diverging_colour(value).0, diverging_colour(-value).0);
            assert!(speaks_for[0] > speaks_for[2], "{value}");
            assert!(against[2] > against[0], "{value}");
            let now = [luminance(speaks_for), luminance(against)];
            assert!(now[0] <= before[0] && now[1] <= before[1], "{value}");
            // Symmetrical: neither sign stands out by its lightness.
            assert!((now[0] - now[1]).abs() < 45.0, "{value}: {now:?}");
            before = now;
        }
    }
}
