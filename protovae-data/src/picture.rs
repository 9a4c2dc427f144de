//! Single pictures from files, brought to the shape a network expects.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage, RgbaImage};

use crate::dataset::scale;
use crate::resize::resize;
use crate::{DataError, ImageShape};

/// Pictures with more pixels are refused.
pub const MAX_PIXELS: u64 = 64_000_000;

/// Pictures wider or higher than this are refused.
pub const MAX_SIDE: u32 = 32_768;

/// Files beyond this length are refused, and decoding may take this much memory.
const MAX_ALLOCATION: u64 = 512 << 20;

/// The formats read, by their content and not by their names.
const FORMATS: [ImageFormat; 4] = [
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::WebP,
    ImageFormat::Bmp,
];

/// Reads a PNG, JPEG, WebP or BMP file as one image of `shape`: values in [-1, 1], channel by channel, row by row.
///
/// - A photograph that its camera marked as turned is turned upright.
/// - Transparent parts become black for 1 channel, where ink is light on black as in MNIST, and white for 3 channels, the
///   paper that viewers show beneath.
/// - For 1 channel colours become luma (Rec. 709); for 3 channels grey is repeated.
/// - A picture of another size is stretched to `shape` by a Catmull-Rom filter, which averages when it shrinks; one of
///   the right size is left as it is, so that an exported image gives back its bytes.
/// - Nothing is inverted: dark ink on white paper is unlike any image of MNIST and will be classified badly.
///
/// # Errors
/// [`DataError::Read`] for a file that cannot be opened; [`DataError::Picture`] for another format, a damaged file, a JPEG
/// file that ends early, or one beyond [`MAX_PIXELS`], [`MAX_SIDE`] or 512 MiB; [`DataError::Unsupported`] for a shape other
/// than 1 or 3 channels of 1 to 4,096 rows and columns.
///
/// ```no_run
/// use protovae_data::{ImageShape, read_picture};
///
/// let image = read_picture("seven.png".as_ref(), ImageShape::new(1, 28, 28))?;
/// assert_eq!(image.len(), 784);
/// # Ok::<(), protovae_data::DataError>(())
/// ```
pub fn read_picture(path: &Path, shape: ImageShape) -> Result<Vec<f32>, DataError> {
    check_shape(shape)?;
    Ok(fit(decode(&read(path)?, path)?, shape, paper(shape)).values())
}

/// As [`read_picture`] with dark and light swapped, for dark ink on light paper. What is transparent is white paper before.
///
/// # Errors
/// As [`read_picture`].
///
/// ```no_run
/// use protovae_data::{ImageShape, picture::read_inverted_picture};
///
/// let image = read_inverted_picture("ink.png".as_ref(), ImageShape::new(1, 28, 28))?;
/// assert_eq!(image.len(), 784);
/// # Ok::<(), protovae_data::DataError>(())
/// ```
pub fn read_inverted_picture(path: &Path, shape: ImageShape) -> Result<Vec<f32>, DataError> {
    check_shape(shape)?;
    let mut values = fit(decode(&read(path)?, path)?, shape, WHITE).values();
    values.iter_mut().for_each(|value| *value = -*value);
    Ok(values)
}

/// As [`read_picture`] from bytes; `name` is what errors call them.
///
/// # Errors
/// As [`read_picture`].
///
/// ```
/// use protovae_data::{ImageShape, picture::parse_picture};
///
/// let error = parse_picture(b"GIF89a", "example".as_ref(), ImageShape::new(1, 28, 28)).unwrap_err();
/// assert!(error.to_string().contains("example"));
/// ```
pub fn parse_picture(bytes: &[u8], name: &Path, shape: ImageShape) -> Result<Vec<f32>, DataError> {
    check_shape(shape)?;
    Ok(fit(decode(bytes, name)?, shape, paper(shape)).values())
}

/// Refuses shapes that no picture is brought to.
pub(crate) fn check_shape(shape: ImageShape) -> Result<(), DataError> {
    let side = 1..=4096;
    if !matches!(shape.channels, 1 | 3)
        || !side.contains(&shape.height)
        || !side.contains(&shape.width)
    {
        return Err(DataError::Unsupported {
            what: format!("reading a picture as {shape}"),
            reason: "a picture has 1 or 3 channels and 1 to 4096 rows and columns".to_string(),
        });
    }
    Ok(())
}

/// A picture from a file, as bytes of a checked shape.
pub(crate) fn fit_file(path: &Path, shape: ImageShape) -> Result<Fitted, DataError> {
    Ok(fit(decode(&read(path)?, path)?, shape, paper(shape)))
}

/// A picture from bytes, as bytes of a checked shape.
pub(crate) fn fit_bytes(bytes: &[u8], name: &Path, shape: ImageShape) -> Result<Fitted, DataError> {
    Ok(fit(decode(bytes, name)?, shape, paper(shape)))
}

/// A whole file, as some decoders take it anyway.
fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let fault = |source| DataError::read(path, source);
    let file = File::open(path).map_err(fault)?;
    let length = file.metadata().map_err(fault)?.len();
    let mut bytes = Vec::new();
    if length <= MAX_ALLOCATION {
        // A file may grow while it is read.
        file.take(MAX_ALLOCATION + 1)
            .read_to_end(&mut bytes)
            .map_err(fault)?;
    }
    let length = length.max(bytes.len() as u64);
    if length > MAX_ALLOCATION {
        return Err(DataError::picture(
            path,
            format!("it has {length} bytes; at most {MAX_ALLOCATION} are read, shrink it first"),
        ));
    }
    Ok(bytes)
}

fn decode(bytes: &[u8], path: &Path) -> Result<DynamicImage, DataError> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|source| DataError::read(path, source))?;
    // Another crate of the program may have switched on more decoders; those have not been looked at.
    if !reader
        .format()
        .is_some_and(|format| FORMATS.contains(&format))
    {
        return Err(DataError::picture(
            path,
            "its content is not PNG, JPEG, WebP or BMP; convert it to one of these",
        ));
    }
    if reader.format() == Some(ImageFormat::Jpeg) && is_cut_short(bytes) {
        return Err(DataError::picture(
            path,
            "it ends before its last line: it is truncated; fetch or copy it again",
        ));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits);
    let mut decoder = reader
        .into_decoder()
        .map_err(|error| DataError::picture(path, error))?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0
        || pixels > MAX_PIXELS
        || width.max(height) > MAX_SIDE
        || decoder.total_bytes() > MAX_ALLOCATION
    {
        return Err(DataError::picture(
            path,
            format!(
                "it has {width}×{height} pixels; at most {MAX_PIXELS} pixels and {MAX_SIDE} a side are read, shrink it first"
            ),
        ));
    }
    let orientation = decoder
        .orientation()
        .map_err(|error| DataError::picture(path, error))?;
    let mut picture =
        DynamicImage::from_decoder(decoder).map_err(|error| DataError::picture(path, error))?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Whether a JPEG file has no end-of-image marker behind its last start-of-scan marker.
///
/// The decoder would make up what is missing. Within a scan no byte 0xFF comes before one of these.
fn is_cut_short(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9).is_none_or(|end| last(0xda).is_some_and(|scan| scan > end))
}

/// A picture in the size of a shape: a byte per pixel, or three of them in turn.
pub(crate) struct Fitted {
    channels: usize,
    samples: Vec<u8>,
}

impl Fitted {
    /// Writes the channels one after the other; `out` has as many places as there are samples.
    pub(crate) fn write<T>(&self, out: &mut [T], of: impl Fn(u8) -> T) {
        let plane = (self.samples.len() / self.channels).max(1);
        for (channel, values) in out.chunks_mut(plane).enumerate() {
            let samples = self.samples.iter().skip(channel).step_by(self.channels);
            for (value, &sample) in values.iter_mut().zip(samples) {
                *value = of(sample);
            }
        }
    }

    fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.samples.len()];
        self.write(&mut values, scale);
        values
    }
}

const WHITE: u16 = 255;

/// What lies behind transparent parts: black for grey images, which are light on dark as a rule, else white.
fn paper(shape: ImageShape) -> u16 {
    if shape.channels == 1 { 0 } else { WHITE }
}

fn fit(picture: DynamicImage, shape: ImageShape, paper: u16) -> Fitted {
    let flat = if picture.color().has_alpha() {
        flatten(&picture.into_rgba8(), paper)
    } else {
        picture.into_rgb8()
    };
    // Both were checked to be at most MAX_SIDE.
    let from = (flat.width() as usize, flat.height() as usize);
    let to = (shape.width, shape.height);
    let samples = if shape.channels == 1 {
        DynamicImage::ImageRgb8(flat).into_luma8().into_raw()
    } else {
        flat.into_raw()
    };
    let samples = match shape.channels {
        _ if from == to => samples,
        1 => resize::<1>(&samples, from, to),
        _ => resize::<3>(&samples, from, to),
    };
    Fitted {
        channels: shape.channels,
        samples,
    }
}

/// Lays the picture on paper of one brightness.
fn flatten(picture: &RgbaImage, paper: u16) -> RgbImage {
    let mut flat = RgbImage::new(picture.width(), picture.height());
    for (to, from) in flat.pixels_mut().zip(picture.pixels()) {
        let [red, green, blue, alpha] = from.0.map(u16::from);
        // At most 255 · 255, rounded to the nearest.
        let mix = |ink: u16| ((ink * alpha + paper * (255 - alpha) + 127) / 255) as u8;
        to.0 = [red, green, blue].map(mix);
    }
    flat
}
