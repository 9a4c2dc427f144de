//! Pictures from files, good and bad.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::PathBuf;

use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use proptest::prelude::*;
use protovae_data::picture::{parse_picture, read_inverted_picture};
use protovae_data::{DataError, ImageShape, read_picture};

const GREY: ImageShape = ImageShape::new(1, 28, 28);
const COLOUR: ImageShape = ImageShape::new(3, 32, 32);

fn gradient() -> RgbImage {
    RgbImage::from_fn(32, 32, |x, y| Rgb([x as u8 * 8, y as u8 * 8, 200]))
}

fn saved(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

#[test]
fn inverted_ink_is_light_whatever_it_was_drawn_on() {
    let folder = tempfile::tempdir().unwrap();
    let ink = |x: u32| x == 14;
    let transparent =
        RgbaImage::from_fn(28, 28, |x, _| Rgba([0, 0, 0, if ink(x) { 255 } else { 0 }]));
    let white = GrayImage::from_fn(28, 28, |x, _| Luma([if ink(x) { 0 } else { 255 }]));
    let [first, second] = ["transparent.png", "white.png"].map(|name| folder.path().join(name));
    transparent.save(&first).unwrap();
    white.save(&second).unwrap();
    let values = read_inverted_picture(&first, GREY).unwrap();
    assert_eq!(values, read_inverted_picture(&second, GREY).unwrap());
    assert_eq!(values[13..16], [-1.0, 1.0, -1.0]);
    // As it is, black ink on black.
    assert!(
        read_picture(&first, GREY)
            .unwrap()
            .iter()
            .all(|value| *value == -1.0)
    );
}

#[test]
fn a_png_of_the_right_size_gives_back_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    let grey = GrayImage::from_fn(28, 28, |x, y| Luma([(x * 9 + y) as u8]));
    grey.save(&path).unwrap();
    let values = read_picture(&path, GREY).unwrap();
    let expected: Vec<f32> = grey
        .as_raw()
        .iter()
        .map(|&byte| f32::from(byte) / 127.5 - 1.0)
        .collect();
    assert_eq!(values, expected);

    gradient().save(&path).unwrap();
    let values = read_picture(&path, COLOUR).unwrap();
    assert_eq!(values.len(), 3 * 32 * 32);
    // Planes: red grows along a row, green from row to row, blue is constant.
    assert_eq!(values[1], 8.0 / 127.5 - 1.0);
    assert_eq!(values[1024 + 32], 8.0 / 127.5 - 1.0);
    assert_eq!(values[2048], 200.0 / 127.5 - 1.0);
}

#[test]
fn every_format_by_content_and_not_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.txt");
    for format in [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::WebP,
        ImageFormat::Bmp,
    ] {
        gradient().save_with_format(&path, format).unwrap();
        for shape in [GREY, COLOUR, ImageShape::new(3, 5, 70)] {
            let values = read_picture(&path, shape).unwrap();
            assert_eq!(values.len(), shape.pixels());
            assert!(values.iter().all(|value| (-1.0..=1.0).contains(value)));
        }
    }
}

#[test]
fn resizing_averages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("board.png");
    // A fine chessboard shrinks to grey; picking pixels would give black or white.
    GrayImage::from_fn(280, 280, |x, y| {
        Luma([if (x + y) % 2 == 0 { 255 } else { 0 }])
    })
    .save(&path)
    .unwrap();
    let values = read_picture(&path, GREY).unwrap();
    assert!(values.iter().all(|value| value.abs() < 0.05));
}

#[test]
fn transparency_is_black_for_grey_and_white_for_colour() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clear.png");
    RgbaImage::from_pixel(28, 28, Rgba([90, 90, 90, 0]))
        .save(&path)
        .unwrap();
    assert!(
        read_picture(&path, GREY)
            .unwrap()
            .iter()
            .all(|&value| value == -1.0)
    );
    let white = read_picture(&path, COLOUR).unwrap();
    assert!(white.iter().all(|&value| value == 1.0));
}

/// A PNG header alone, with a right checksum, as a decoder sees it before any pixel.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([8, 6, 0, 0, 0]);
    let mut check = flate2::Crc::new();
    check.update(&chunk);
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend(&chunk);
    bytes.extend(check.sum().to_be_bytes());
    bytes.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    bytes
}

#[test]
fn giants_are_refused_before_their_pixels() {
    for (width, height) in [
        (2_000_000_000, 2_000_000_000),
        (60_000_000, 1),
        (1, 40_000),
        (20_000, 20_000),
        (8_001, 8_000),
    ] {
        let (_folder, path) = saved("giant.png", &png_header(width, height));
        let error = read_picture(&path, GREY).unwrap_err();
        assert!(matches!(error, DataError::Picture { .. }), "{error}");
        assert!(error.to_string().contains("giant.png"), "{error}");
    }
}

/// A chunk of a PNG file.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [&kind[..], data].concat();
    let mut check = flate2::Crc::new();
    check.update(&body);
    [
        &(data.len() as u32).to_be_bytes()[..],
        &body,
        &check.sum().to_be_bytes(),
    ]
    .concat()
}

/// 256 MiB of zeros behind a header of 4×4 pixels. The picture is whole with the first of them.
#[test]
fn a_png_bomb_gives_its_few_pixels_or_an_error() {
    use std::io::Write;
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..256 {
        packed.write_all(&zeros).unwrap();
    }
    let header = [
        &4u32.to_be_bytes()[..],
        &4u32.to_be_bytes(),
        &[8, 0, 0, 0, 0],
    ]
    .concat();
    let bomb = [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &header),
        chunk(b"IDAT", &packed.finish().unwrap()),
        chunk(b"IEND", b""),
    ]
    .concat();
    match parse_picture(&bomb, "bomb.png".as_ref(), GREY) {
        Ok(values) => assert!(values.iter().all(|&value| value == -1.0)),
        Err(error) => assert!(error.to_string().contains("bomb.png"), "{error}"),
    }
}

#[test]
fn a_cut_picture_is_an_error() {
    for format in [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::WebP,
        ImageFormat::Bmp,
    ] {
        let mut bytes = std::io::Cursor::new(Vec::new());
        gradient().write_to(&mut bytes, format).unwrap();
        let bytes = bytes.into_inner();
        let parse = |bytes: &[u8]| parse_picture(bytes, "cut".as_ref(), COLOUR);
        assert!(parse(&bytes).is_ok());
        // A JPEG file without its last two bytes may lack a line; nothing is lost with a PNG file's end.
        let longest = if format == ImageFormat::Jpeg {
            bytes.len() - 1
        } else {
            bytes.len() - bytes.len() / 4
        };
        for length in (0..=longest).step_by(7).chain([longest]) {
            assert!(parse(&bytes[..length]).is_err(), "{format:?} {length}");
        }
        // What a camera appends is no harm.
        if format == ImageFormat::Jpeg {
            assert!(parse(&[&bytes[..], &[0; 40]].concat()).is_ok());
        }
    }
}

#[test]
fn what_is_no_picture() {
    for bytes in [
        &b""[..],
        b"hello",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        b"BM",
        b"\xff\xd8\xff",
    ] {
        let (_folder, path) = saved("file.png", bytes);
        let error = read_picture(&path, GREY).unwrap_err();
        assert!(matches!(error, DataError::Picture { .. }), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(read_picture(folder.path(), GREY).is_err());
    let absent = folder.path().join("absent.png");
    assert!(
        read_picture(&absent, GREY)
            .unwrap_err()
            .to_string()
            .contains("absent.png")
    );
}

#[test]
fn shapes_no_picture_has() {
    let (_folder, path) = saved("file.png", b"");
    for shape in [
        ImageShape::new(2, 28, 28),
        ImageShape::new(1, 0, 28),
        ImageShape::new(3, 28, 1 << 40),
    ] {
        let error = read_picture(&path, shape).unwrap_err();
        assert!(matches!(error, DataError::Unsupported { .. }), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn damaged_pictures_never_panic(
        format in prop::sample::select(vec![ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Bmp]),
        at in any::<prop::sample::Index>(), byte: u8, cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = std::io::Cursor::new(Vec::new());
        gradient().write_to(&mut bytes, format).unwrap();
        let mut bytes = bytes.into_inner();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let (_folder, path) = saved("damaged", &bytes);
        if let Ok(values) = read_picture(&path, GREY) {
            prop_assert_eq!(values.len(), 784);
            prop_assert!(values.iter().all(|value| (-1.0..=1.0).contains(value)));
        }
    }
}
