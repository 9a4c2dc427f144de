//! Parts of a ProtoVAE as somebody outside the project writes them: two encoders, a decoder, a head and an explainer.
//!
//! `docs/src/plugins.md` goes through them step by step. `src/main.rs` is `protovae` with all of them in it.

#![forbid(unsafe_code)]

pub mod decoder;
pub mod encoder;
pub mod explainer;
pub mod gated;
pub mod head;

use protovae_core::{Error, ImageShape, Result};

/// Rows and columns of square patches in an image, if `key` and the width of a patch's features can be used with it.
fn patch_grid(key: &str, patch: usize, width: usize, image: ImageShape) -> Result<[usize; 2]> {
    let fits = |side: usize| patch > 0 && side.is_multiple_of(patch);
    if !(fits(image.height) && fits(image.width)) {
        return Err(Error::config(
            key,
            format!("must divide both sides of {image} images, {patch} does not"),
        ));
    }
    if !(1..=4096).contains(&width) {
        let key = key.replace("patch", "width");
        return Err(Error::config(
            key,
            format!("must lie between 1 and 4096, not {width}"),
        ));
    }
    Ok([image.height / patch, image.width / patch])
}
