//! Changes of colour, with torchvision's meaning for tensors in [0, 1].
//!
//! The loops run over whole planes and choose by selection instead of branching, so that compilers make vector code of them.
//! Sums are taken in a fixed order: the result is the same on every machine.

use super::{Adjustment, AugmentationDraw};
use crate::{DataError, ImageShape};

/// Refuses images that are neither grey nor of three colours.
pub(super) fn check_channels(shape: ImageShape) -> Result<(), DataError> {
    if matches!(shape.channels, 1 | 3) {
        return Ok(());
    }
    Err(DataError::Setting {
        key: "jitter",
        reason: format!("images of {shape} have no colours to change; it needs 1 or 3 channels"),
    })
}

/// Makes the changes of colour of `draw` in its order.
pub(super) fn adjust(
    image: &mut [f32],
    shape: ImageShape,
    draw: &AugmentationDraw,
) -> Result<(), DataError> {
    let grey = shape.channels == 1;
    let chosen = |adjustment| match adjustment {
        Adjustment::Brightness => draw.brightness,
        Adjustment::Contrast => draw.contrast,
        Adjustment::Saturation => draw.saturation.filter(|_| !grey),
        Adjustment::Hue => draw.hue.filter(|_| !grey),
    };
    if draw.order.into_iter().all(|one| chosen(one).is_none()) {
        return Ok(());
    }
    check_channels(shape)?;
    for value in &mut *image {
        *value = unit(*value * 0.5 + 0.5);
    }
    let pixels = shape.height * shape.width;
    for adjustment in draw.order {
        let Some(amount) = chosen(adjustment) else {
            continue;
        };
        if adjustment == Adjustment::Brightness {
            blend(image, 0.0, amount);
            continue;
        }
        if grey {
            let mean = sum(image) / image.len() as f64;
            blend(image, mean as f32, amount);
            continue;
        }
        let (red, others) = image.split_at_mut(pixels);
        let (green, blue) = others.split_at_mut(pixels);
        match adjustment {
            Adjustment::Saturation => saturate(red, green, blue, amount),
            Adjustment::Hue => turn(red, green, blue, amount),
            _ => {
                let mean = mean_luma(red, green, blue);
                blend(image, mean, amount);
            }
        }
    }
    for value in image {
        *value = *value * 2.0 - 1.0;
    }
    Ok(())
}

/// Cuts off what is beyond [0, 1].
#[inline]
fn unit(value: f32) -> f32 {
    smaller(larger(value, 0.0), 1.0)
}

// f32::min and f32::max take care of NaN, which costs them twice the instructions.
#[inline]
fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[inline]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline]
fn luma(red: f32, green: f32, blue: f32) -> f32 {
    0.2989 * red + 0.587 * green + 0.114 * blue
}

/// `factor` parts of the image and 1 − `factor` parts of a constant.
fn blend(image: &mut [f32], with: f32, factor: f64) {
    let (of_image, constant) = (factor as f32, (1.0 - factor) as f32 * with);
    for value in image {
        *value = unit(of_image * *value + constant);
    }
}

/// The sum in eight lanes of single precision; to be taken of at most a few hundred values at a time.
fn lanes(values: &[f32]) -> f64 {
    let mut lanes = [0.0f32; 8];
    let (eights, rest) = values.as_chunks::<8>();
    for eight in eights {
        for (lane, value) in lanes.iter_mut().zip(eight) {
            *lane += value;
        }
    }
    lanes
        .iter()
        .chain(rest)
        .map(|&value| f64::from(value))
        .sum()
}

const BLOCK: usize = 256;

fn sum(values: &[f32]) -> f64 {
    values.chunks(BLOCK).map(lanes).sum()
}

fn mean_luma(red: &[f32], green: &[f32], blue: &[f32]) -> f32 {
    let mut block = [0.0; BLOCK];
    let planes = red
        .chunks(BLOCK)
        .zip(green.chunks(BLOCK).zip(blue.chunks(BLOCK)));
    let total: f64 = planes
        .map(|(red, (green, blue))| {
            for (grey, (&red, (&green, &blue))) in
                block.iter_mut().zip(red.iter().zip(green.iter().zip(blue)))
            {
                *grey = luma(red, green, blue);
            }
            lanes(&block[..red.len()])
        })
        .sum();
    (total / red.len() as f64) as f32
}

fn saturate(red: &mut [f32], green: &mut [f32], blue: &mut [f32], factor: f64) {
    let (of_image, of_grey) = (factor as f32, (1.0 - factor) as f32);
    for (red, (green, blue)) in red.iter_mut().zip(green.iter_mut().zip(blue)) {
        let grey = of_grey * luma(*red, *green, *blue);
        *red = unit(of_image * *red + grey);
        *green = unit(of_image * *green + grey);
        *blue = unit(of_image * *blue + grey);
    }
}

/// Turns the hue and keeps what HSV calls saturation and value.
fn turn(red: &mut [f32], green: &mut [f32], blue: &mut [f32], turns: f64) {
    let sixths = (turns * 6.0) as f32;
    for (red, (green, blue)) in red.iter_mut().zip(green.iter_mut().zip(blue)) {
        let (r, g, b) = (*red, *green, *blue);
        let value = larger(larger(r, g), b);
        let chroma = value - smaller(smaller(r, g), b);
        // Grey has no hue, and any will do: its chroma is 0.
        let divisor = if chroma > 0.0 { chroma } else { 1.0 };
        // The hue in sixths of a turn, -1 to 5.
        let (difference, sector) = if r == value {
            (g - b, 0.0)
        } else if g == value {
            (b - r, 2.0)
        } else {
            (r - g, 4.0)
        };
        let hue = sector + difference / divisor + sixths;
        let hue = wrap(if hue < 0.0 { hue + 6.0 } else { hue });
        // A primary colour is full within a sixth of its own hue, absent opposite, and linear between.
        let primary = |offset: f32| {
            let place = wrap(hue + offset);
            value - chroma * unit(smaller(place, 4.0 - place))
        };
        (*red, *green, *blue) = (primary(5.0), primary(3.0), primary(1.0));
    }
}

/// Brings a hue in sixths from [0, 12) to [0, 6).
#[inline]
fn wrap(hue: f32) -> f32 {
    if hue >= 6.0 { hue - 6.0 } else { hue }
}
