//! A picture that shows the first images of every class.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};

use crate::statistics::{checked_label, image_buffer};
use crate::{DataError, Dataset, ImageShape};

/// No sheet is wider or higher.
pub const MAX_SHEET_SIDE: u32 = 2000;

/// Pixels between the images and around them.
const GAP: u32 = 2;

/// Grey, so that images on black and on white both show their edges.
const BACKGROUND: Rgb<u8> = Rgb([127, 127, 127]);

/// A row for each class with the first `columns` images of it, in the order of the set.
///
/// The sheet has at most [`MAX_SHEET_SIDE`] pixels a side: it shows fewer columns, and the first classes only, where more do
/// not fit. Of an image that alone is larger, every n-th pixel is shown. A class with fewer images leaves places empty.
///
/// # Errors
/// [`DataError::Setting`] for a set without images, 0 classes or columns, [`DataError::Unsupported`] unless images have 1
/// or 3 channels, [`DataError::LabelOutOfRange`] for a label that is not below `classes`, and whatever reading the images may
/// raise.
///
/// ```
/// use protovae_data::{DataConfig, DataSearch, Mnist5kConfig, contact_sheet};
///
/// let splits = Mnist5kConfig::default().load(&DataSearch::default())?;
/// let sheet = contact_sheet(&*splits.test, splits.classes.len(), 12)?;
/// assert_eq!(sheet.dimensions(), (12 * 30 + 2, 10 * 30 + 2));
/// # Ok::<(), protovae_data::DataError>(())
/// ```
pub fn contact_sheet(
    set: &dyn Dataset,
    classes: usize,
    columns: usize,
) -> Result<RgbImage, DataError> {
    let shape = set.shape();
    check(set, classes, columns)?;
    let place = Place::new(shape);
    let columns = columns.min(place.fitting(place.width));
    let rows = classes.min(place.fitting(place.height));
    let mut sheet = RgbImage::from_pixel(
        place.offset(place.width, columns),
        place.offset(place.height, rows),
        BACKGROUND,
    );
    let mut image = image_buffer(shape)?;
    let mut filled = vec![0; rows];
    let mut missing = rows.saturating_mul(columns);
    for index in 0..set.len() {
        if missing == 0 {
            break;
        }
        let label = checked_label(set, index, classes)?;
        let Some(column) = filled.get_mut(label).filter(|column| **column < columns) else {
            continue;
        };
        set.image(index, &mut image)?;
        let left = place.offset(place.width, *column);
        let top = place.offset(place.height, label);
        draw(&mut sheet, &image, shape, &place, left, top);
        *column += 1;
        missing -= 1;
    }
    Ok(sheet)
}

/// Writes a picture as PNG, whatever the file's name ends in, completely or not at all.
///
/// # Errors
/// [`DataError::Write`].
pub fn save_png(picture: &RgbImage, path: &Path) -> Result<(), DataError> {
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|error| DataError::write(path, std::io::Error::other(error)))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".writing-{}-{name}", std::process::id()));
    let written = fs::write(&beside, bytes.into_inner()).and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
        DataError::write(path, source)
    })
}

fn check(set: &dyn Dataset, classes: usize, columns: usize) -> Result<(), DataError> {
    let shape = set.shape();
    if !matches!(shape.channels, 1 | 3) || shape.pixels() == 0 {
        return Err(DataError::Unsupported {
            what: format!("a contact sheet of images of {shape}"),
            reason: "only grey and colour images can be shown, with 1 or 3 channels".to_string(),
        });
    }
    for (key, number) in [
        ("data", set.len()),
        ("classes", classes),
        ("columns", columns),
    ] {
        if number == 0 {
            return Err(DataError::Setting {
                key,
                reason: "0 leaves nothing to show".to_string(),
            });
        }
    }
    Ok(())
}

/// The room of one image on the sheet.
struct Place {
    width: u32,
    height: u32,
    /// Every so many pixels one is shown.
    step: usize,
}

impl Place {
    fn new(shape: ImageShape) -> Self {
        let room = (MAX_SHEET_SIDE - 2 * GAP) as usize;
        let step = shape.width.max(shape.height).div_ceil(room).max(1);
        // Both quotients are at most `room`.
        Self {
            width: shape.width.div_ceil(step) as u32,
            height: shape.height.div_ceil(step) as u32,
            step,
        }
    }

    /// How many images fit beside each other.
    fn fitting(&self, side: u32) -> usize {
        ((MAX_SHEET_SIDE - GAP) / (side + GAP)) as usize
    }

    /// Where the image of this number begins; at most [`MAX_SHEET_SIDE`].
    fn offset(&self, side: u32, number: usize) -> u32 {
        GAP + number as u32 * (side + GAP)
    }
}

fn draw(
    sheet: &mut RgbImage,
    image: &[f32],
    shape: ImageShape,
    place: &Place,
    left: u32,
    top: u32,
) {
    let plane = shape.height * shape.width;
    for row in 0..place.height {
        for column in 0..place.width {
            let at = row as usize * place.step * shape.width + column as usize * place.step;
            let value = |channel: usize| {
                let value = image.get(channel * plane + at).copied().unwrap_or(-1.0);
                // The conversion ends at 0 and at 255.
                ((value + 1.0) * 127.5).round() as u8
            };
            let pixel = if shape.channels == 1 {
                Rgb([value(0); 3])
            } else {
                Rgb([value(0), value(1), value(2)])
            };
            sheet.put_pixel(left + column, top + row, pixel);
        }
    }
}
