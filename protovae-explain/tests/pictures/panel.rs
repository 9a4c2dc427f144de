//! Panels: where pictures and words stand, and what cannot be drawn.

use image::{DynamicImage, Rgb, RgbImage};
use protovae_explain::pictures::{Legend, Panel, PanelCell, PanelRow, png_bytes};

const WHITE: Rgb<u8> = Rgb([255; 3]);
const RED: Rgb<u8> = Rgb([200, 0, 0]);
const BLUE: Rgb<u8> = Rgb([0, 0, 200]);

fn square(colour: Rgb<u8>) -> RgbImage {
    RgbImage::from_pixel(10, 10, colour)
}

fn row(label: &str, cells: Vec<PanelCell>) -> PanelRow {
    PanelRow {
        label: label.into(),
        cells,
    }
}

fn drawn(panel: &Panel) -> RgbImage {
    panel.draw().unwrap().into_rgb8()
}

/// Whether any pixel of a rectangle is not white.
fn inked(picture: &RgbImage, x: std::ops::Range<u32>, y: std::ops::Range<u32>) -> bool {
    x.flat_map(|x| y.clone().map(move |y| (x, y)))
        .any(|(x, y)| *picture.get_pixel(x, y) != WHITE)
}

#[test]
fn pictures_alone_stand_in_a_grid() {
    let panel = Panel {
        rows: vec![
            row("", vec![PanelCell::new(square(RED), "")]),
            row(
                "",
                vec![PanelCell::empty(), PanelCell::new(square(BLUE), "")],
            ),
        ],
        ..Panel::default()
    };
    let picture = drawn(&panel);
    // Margins of 12, pictures of 10, gaps of 10.
    assert_eq!(picture.dimensions(), (54, 54));
    assert_eq!(*picture.get_pixel(12, 12), RED);
    assert_eq!(*picture.get_pixel(21, 21), RED);
    assert_eq!(*picture.get_pixel(22, 22), WHITE);
    assert_eq!(*picture.get_pixel(32, 32), BLUE);
    assert_eq!(
        *picture.get_pixel(32, 12),
        WHITE,
        "the first row has no second cell"
    );
    assert_eq!(
        *picture.get_pixel(12, 32),
        WHITE,
        "the second row begins empty"
    );
}

#[test]
fn words_stand_beside_above_and_below() {
    let panel = Panel {
        title: "T".into(),
        headings: vec!["ab".into()],
        rows: vec![row("label", vec![PanelCell::new(square(RED), "0.25")])],
        legend: Some(Legend::default()),
    };
    let picture = drawn(&panel);
    // Label of 5 characters of 7 pixels, gap 10; the column is as wide as its caption, 28; the legend is 160 wide.
    let (width, height) = picture.dimensions();
    assert_eq!(width, 12 + 160 + 12);
    // Title 20 + 10, heading 16 + 3, picture 10, caption 3 + 16, gap 10, legend.
    assert_eq!(height, 12 + 30 + 19 + 10 + 19 + 10 + Legend::HEIGHT + 12);
    let left = 12 + 35 + 10;
    assert_eq!(*picture.get_pixel(left + 9, 61), RED);
    assert_eq!(*picture.get_pixel(left + 8, 61), WHITE);
    assert!(inked(&picture, 12..30, 12..32), "title");
    assert!(inked(&picture, left..left + 28, 42..58), "heading");
    assert!(inked(&picture, 12..47, 56..76), "label");
    assert!(inked(&picture, left..left + 28, 74..90), "caption");
    assert!(
        inked(&picture, 12..172, 100..100 + Legend::HEIGHT),
        "legend"
    );
}

#[test]
fn long_words_are_cut_off_and_strange_ones_do_no_harm() {
    let long = "<img src=x onerror=alert(1)> 漢字 \u{202E}\0".repeat(50);
    let panel = Panel {
        title: long.clone(),
        headings: vec![long.clone(); 2],
        rows: vec![row(&long, vec![PanelCell::new(square(RED), long.clone())])],
        legend: None,
    };
    let picture = drawn(&panel);
    assert!(picture.width() <= 700, "{}", picture.width());
}

#[test]
fn what_cannot_be_drawn_is_an_error() {
    let panel = |cells| Panel {
        rows: vec![row("", cells)],
        ..Panel::default()
    };
    assert!(Panel::default().draw().is_err());
    assert!(panel(vec![PanelCell::empty()]).draw().is_err());
    let other = RgbImage::new(10, 11);
    let differ = vec![PanelCell::new(square(RED), ""), PanelCell::new(other, "")];
    assert!(panel(differ).draw().is_err());
    let mut wide = vec![PanelCell::empty(); 2000];
    wide.push(PanelCell::new(square(RED), ""));
    assert!(panel(wide).draw().is_err());
    let mut high = vec![PanelRow::default(); 2000];
    high.push(row("", vec![PanelCell::new(square(RED), "")]));
    let high = Panel {
        rows: high,
        ..Panel::default()
    };
    assert!(high.draw().is_err());
}

#[test]
fn png_bytes_hold_the_picture() {
    let picture = DynamicImage::from(square(BLUE));
    let bytes = png_bytes(&picture).unwrap();
    assert_eq!(image::load_from_memory(&bytes).unwrap(), picture);
}
