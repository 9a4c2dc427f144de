//! Pictures as PNG, in memory and on disk.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageFormat};
use protovae_core::train::write_atomically;

use crate::error::{Error, Result};

/// A picture as the bytes of a PNG file.
///
/// ```
/// use image::DynamicImage;
/// let bytes = protovae_explain::pictures::png_bytes(&DynamicImage::new_rgb8(2, 2))?;
/// assert_eq!(&bytes[1..4], b"PNG");
/// # Ok::<(), protovae_explain::Error>(())
/// ```
///
/// # Errors
/// [`Error::Write`] if the picture cannot be encoded, such as one without pixels.
pub fn png_bytes(picture: &DynamicImage) -> Result<Vec<u8>> {
    encode(picture, Path::new("in memory"))
}

/// Writes a picture as PNG, completely or not at all.
///
/// # Errors
/// [`Error::Write`].
pub fn save_png(picture: &DynamicImage, path: &Path) -> Result<()> {
    write_atomically(path, &encode(picture, path)?)?;
    Ok(())
}

/// `path` is what an error names.
fn encode(picture: &DynamicImage, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|source| Error::Write {
            path: path.to_path_buf(),
            source,
        })?;
    Ok(bytes.into_inner())
}
