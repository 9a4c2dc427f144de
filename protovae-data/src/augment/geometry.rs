//! Moving and mirroring.

use crate::ImageShape;

/// Where no part of the image is.
const BLACK: f32 = -1.0;

/// Makes (`top`, `left`) the image's first pixel; what was not in the image is black.
pub(super) fn crop(image: &mut [f32], shape: ImageShape, top: isize, left: isize) {
    if (top, left) == (0, 0) {
        return;
    }
    for plane in image.chunks_exact_mut(shape.height * shape.width) {
        move_plane(plane, shape.width, top, left);
    }
}

fn move_plane(plane: &mut [f32], width: usize, top: isize, left: isize) {
    let height = plane.len() / width;
    // Where the columns lie that stay in sight, before and after.
    let (skip, gap) = if left < 0 {
        (0, left.unsigned_abs().min(width))
    } else {
        (left.unsigned_abs().min(width), 0)
    };
    let kept = width - skip - gap;
    let mut row_from = |row: usize| {
        let to = row * width;
        match row.checked_add_signed(top).filter(|&from| from < height) {
            Some(from) => {
                let from = from * width + skip;
                plane.copy_within(from..from + kept, to + gap);
                plane[to..to + gap].fill(BLACK);
                plane[to + gap + kept..to + width].fill(BLACK);
            }
            None => plane[to..to + width].fill(BLACK),
        }
    };
    // No row may be written before it has been read.
    if top < 0 {
        (0..height).rev().for_each(&mut row_from);
    } else {
        (0..height).for_each(&mut row_from);
    }
}

/// Mirrors the image left to right.
pub(super) fn flip(image: &mut [f32], shape: ImageShape) {
    for row in image.chunks_exact_mut(shape.width) {
        row.reverse();
    }
}
