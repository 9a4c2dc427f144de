//! Resizing against Pillow's BICUBIC; `picture_golden.py` made the figures.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};
use protovae_data::ImageShape;
use protovae_data::picture::parse_picture;

#[derive(serde::Deserialize)]
struct Case {
    from: [u32; 2],
    to: [usize; 2],
    step: usize,
    mean: [f64; 3],
    values: Vec<u8>,
}

fn picture(width: u32, height: u32) -> Vec<u8> {
    let picture = RgbImage::from_fn(width, height, |x, y| {
        Rgb([0, 1, 2]
            .map(|channel| (48 + (3 * x * x + 7 * y * (channel + 1) + x * y) / 9 % 160) as u8))
    });
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

/// Pillow rounds to bytes between its two passes, which this crate does not; at least three in four bytes are equal.
#[test]
fn resizing_agrees_with_pillow() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("golden/resized.json")).unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let ([width, height], [to_width, to_height]) = (case.from, case.to);
        let shape = ImageShape::new(3, to_height, to_width);
        let values = parse_picture(&picture(width, height), "made-up".as_ref(), shape).unwrap();
        let bytes: Vec<i32> = values
            .iter()
            .map(|value| ((value + 1.0) * 127.5).round() as i32)
            .collect();
        for (channel, expected) in case.mean.into_iter().enumerate() {
            let plane =
                &bytes[channel * to_height * to_width..(channel + 1) * to_height * to_width];
            let mean = plane.iter().sum::<i32>() as f64 / plane.len() as f64;
            assert!((mean - expected).abs() < 0.06, "{:?}: {mean}", case.to);
        }
        let mut expected = case.values.iter();
        let (mut differing, mut count) = (0, 0);
        for row in (0..to_height).step_by(case.step) {
            for column in (0..to_width).step_by(case.step) {
                for channel in 0..3 {
                    let found = bytes[(channel * to_height + row) * to_width + column];
                    let difference = (found - i32::from(*expected.next().unwrap())).abs();
                    assert!(
                        difference <= 1,
                        "{:?} {row} {column}: {difference}",
                        case.to
                    );
                    differing += difference;
                    count += 1;
                }
            }
        }
        assert!(expected.next().is_none());
        assert!(differing * 4 < count, "{differing} of {count}");
    }
}
