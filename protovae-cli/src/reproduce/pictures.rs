//! The figures.

use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use image::{Rgb, RgbImage, imageops};
use protovae_core::train::{load_model, read_card};
use protovae_explain::pictures::{
    Panel, PanelCell, PanelRow, TextStyle, draw_text, image_pictures, save_png,
};

use crate::args::{CompareArgs, DeviceArgs, ExplainArgs, TableFormat};
use crate::commands::{compare, explain};
use crate::error::{CliError, Result};
use crate::output::{Voice, counted};
use crate::{files, session};

/// What a figure shows of its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pictures {
    /// The decoded prototypes, a row a class, at most so many a class.
    Prototypes(usize),
    /// Test images and their reconstructions.
    Reconstructions,
    /// Relevance of test images for prototypes of two classes.
    Relevance,
    /// One of the figures of `protovae compare`, by the beginning of its name.
    Compared(&'static str),
}

/// A run that is shown, and what is said of it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The run directory.
    pub run: PathBuf,
    /// The caption.
    pub caption: String,
}

/// Where and how.
#[derive(Debug)]
pub struct Easel<'a> {
    /// The folder of the item.
    pub folder: &'a Path,
    /// The item's name.
    pub name: &'a str,
    /// Folder with the data sets, if one was named.
    pub data_dir: Option<&'a Path>,
    /// Where to compute.
    pub device: DeviceArgs,
    /// The voice of what draws.
    pub voice: Voice,
}

impl Pictures {
    /// Draws the figure of some runs and gives its files.
    pub fn draw(self, runs: &[Shown], easel: &Easel) -> Result<Vec<PathBuf>> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let path = easel.folder.join(format!("{}.png", easel.name));
        match self {
            Self::Prototypes(most) => {
                let parts: Vec<RgbImage> = runs
                    .iter()
                    .map(|shown| prototypes(shown, most, easel))
                    .collect::<Result<_>>()?;
                save_png(&arranged(&parts).into(), &path)?;
            }
            Self::Reconstructions => {
                let mut parts = Vec::new();
                for shown in runs {
                    let file = shown.run.join("reconstructions.png");
                    // Under its own name, for it may be a stand-in.
                    let card = read_card(&shown.run.join("model.safetensors"))?;
                    let title = format!("{} ({})", shown.caption, card.data);
                    parts.push(titled(&title, &open(&file)?));
                }
                save_png(&arranged(&parts).into(), &path)?;
            }
            Self::Relevance => relevance(&runs[0], &path, easel)?,
            Self::Compared(beginning) => return compared(runs, beginning, easel),
        }
        Ok(vec![path])
    }
}

/// A row a class.
fn prototypes(shown: &Shown, most: usize, easel: &Easel) -> Result<RgbImage> {
    let device = session::device(&easel.device, easel.voice)?;
    let (model, card) = load_model(&shown.run.join("model.safetensors"), &device)?;
    let model = model.valid();
    let unsupported = |what| {
        CliError::Core(protovae_core::Error::Unsupported {
            model: model.kind().to_string(),
            what,
        })
    };
    let bank = model
        .prototypes()
        .ok_or_else(|| unsupported("prototypes"))?;
    let per_class = bank.per_class.max(1);
    let decoded = model
        .decode(bank.vectors)
        .ok_or_else(|| unsupported("decoder"))?;
    let enlargement = (56 / card.image.height.max(1)).clamp(1, 2);
    let pictures = image_pictures(decoded, enlargement)?;
    let rows = pictures.chunks(per_class).enumerate();
    let rows = rows.map(|(class, pictures)| PanelRow {
        label: card.class_names.get(class).cloned().unwrap_or_default(),
        cells: pictures
            .iter()
            .take(most)
            .map(|picture| PanelCell::new(picture.clone(), ""))
            .collect(),
    });
    let panel = Panel {
        title: format!(
            "{} ({}, {})",
            shown.caption,
            card.data,
            counted(card.epochs, "epoch")
        ),
        rows: rows.collect(),
        ..Panel::default()
    };
    Ok(panel.draw()?.to_rgb8())
}

/// The classes whose first prototypes the test images are held against, as in the paper; else the first two.
const CLASSES: [&str; 2] = ["automobile", "horse"];

/// Of CIFAR-10's test images the first two airplanes, the first ship and the first automobile: what the paper's figure shows, though
/// which ones it does not say.
const CIFAR_IMAGES: [usize; 4] = [3, 10, 1, 6];

fn relevance(shown: &Shown, path: &Path, easel: &Easel) -> Result<()> {
    let card = protovae_core::train::read_card(&shown.run.join("model.safetensors"))?;
    let known = CLASSES
        .iter()
        .all(|class| card.class_names.iter().any(|name| name == class));
    let (prototypes, test) = match known {
        true => (
            format!("{}:0,{}:0", CLASSES[0], CLASSES[1]),
            CIFAR_IMAGES.to_vec(),
        ),
        false => ("0:0,1:0".to_string(), vec![0, 1, 2, 3]),
    };
    explain::run(
        &ExplainArgs {
            run: shown.run.clone(),
            images: Vec::new(),
            test,
            sheet: Some(path.to_path_buf()),
            prototypes,
            method: None,
            out: easel.folder.join("maps"),
            maps: false,
            invert: false,
            data_dir: easel.data_dir.map(Path::to_path_buf),
            device: easel.device,
        },
        easel.voice,
    )
}

/// One of the figures that `protovae compare` draws.
fn compared(runs: &[Shown], beginning: &str, easel: &Easel) -> Result<Vec<PathBuf>> {
    let folder = easel.folder.join("drawn");
    let _ = fs::remove_dir_all(&folder);
    compare::run(
        &CompareArgs {
            runs: runs.iter().map(|shown| shown.run.clone()).collect(),
            method: "gradient-times-input".to_string(),
            images: 0,
            format: TableFormat::Text,
            page: None,
            figures: Some(folder.clone()),
            classes: Vec::new(),
            data_dir: easel.data_dir.map(Path::to_path_buf),
            device: easel.device,
        },
        easel.voice,
    )?;
    let mut written = Vec::new();
    let unread = |source| CliError::Read {
        path: folder.clone(),
        source,
    };
    for entry in fs::read_dir(&folder).map_err(unread)? {
        let from = entry.map_err(unread)?.path();
        let name = from
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with(beginning) {
            let to = easel.folder.join(format!("{}.png", easel.name));
            fs::rename(&from, &to).map_err(|error| files::unwritten(&to, error))?;
            written.push(to);
        }
    }
    // Nothing of use is left in it.
    let _ = fs::remove_dir_all(&folder);
    Ok(written)
}

const MARGIN: u32 = 12;

/// A picture with a line above it.
fn titled(title: &str, picture: &RgbImage) -> RgbImage {
    let line = TextStyle::BOLD.height() as u32 + 6;
    let wide = (title.chars().count() * TextStyle::BOLD.character_width()) as u32;
    let mut canvas = RgbImage::from_pixel(
        picture.width().max(wide) + 2 * MARGIN,
        picture.height() + line + 2 * MARGIN,
        Rgb([255; 3]),
    );
    let corner = (i64::from(MARGIN), i64::from(MARGIN));
    draw_text(&mut canvas, corner, title, TextStyle::BOLD);
    imageops::overlay(
        &mut canvas,
        picture,
        i64::from(MARGIN),
        i64::from(MARGIN + line),
    );
    canvas
}

/// How wide a figure may become by pictures side by side.
const WIDEST: u32 = 1200;

/// Pictures in rows from left to right, as many in each as fit.
fn arranged(parts: &[RgbImage]) -> RgbImage {
    let mut places = Vec::with_capacity(parts.len());
    let [mut left, mut top, mut height] = [0; 3];
    let mut width = 1;
    for part in parts {
        if left > 0 && left + part.width() > WIDEST {
            top += height;
            [left, height] = [0, 0];
        }
        places.push((i64::from(left), i64::from(top)));
        left += part.width();
        height = height.max(part.height());
        width = width.max(left);
    }
    let mut canvas = RgbImage::from_pixel(width, (top + height).max(1), Rgb([255; 3]));
    for (part, (left, top)) in parts.iter().zip(places) {
        imageops::overlay(&mut canvas, part, left, top);
    }
    canvas
}

/// A picture file as it is.
pub fn open(path: &Path) -> Result<RgbImage> {
    let picture = image::open(path).map_err(|error| CliError::Read {
        path: path.to_path_buf(),
        source: std::io::Error::other(error),
    })?;
    Ok(picture.to_rgb8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_side_by_side_as_far_as_there_is_room() {
        let grey = |width, height, tone| RgbImage::from_pixel(width, height, Rgb([tone; 3]));
        let drawn = arranged(&[grey(500, 40, 1), grey(600, 60, 2), grey(300, 10, 3)]);
        assert_eq!(drawn.dimensions(), (1100, 70));
        let tone = |x, y| drawn.get_pixel(x, y).0[0];
        assert_eq!([tone(0, 0), tone(500, 59), tone(299, 69)], [1, 2, 3]);
        assert_eq!([tone(0, 50), tone(300, 69)], [255, 255]);
        // One that is wider than all may be stands alone.
        assert_eq!(
            arranged(&[grey(2000, 5, 1), grey(9, 5, 1)]).dimensions(),
            (2000, 10)
        );
        assert_eq!(arranged(&[]).dimensions(), (1, 1));
    }
}
