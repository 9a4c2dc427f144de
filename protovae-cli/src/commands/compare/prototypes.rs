//! What each system takes as typical of a class, as pictures.

use burn::module::Module;
use burn::tensor::Device;
use image::RgbImage;
use protovae_core::model::{Provenance, Region};
use protovae_explain::pictures::{boxed, cut_out, image_pictures};
use protovae_explain::report::Picture;
use protovae_explain::side_by_side::{PrototypeRow, SideBySide};

use super::Run;
use crate::error::Result;
use crate::output::Voice;
use crate::tables;

/// A prototype as pictures.
pub struct Shown {
    /// The decoded prototype, or the training image that it comes from.
    pub whole: RgbImage,
    /// What of that image it is, if it is a part of one.
    pub region: Option<Region>,
}

impl Shown {
    /// The picture with a box around the region, each pixel `enlargement` times as large.
    pub fn boxed(&self, enlargement: u32) -> RgbImage {
        let picture = enlarged(&self.whole, enlargement);
        match self.region {
            Some(region) => boxed(&picture, region, enlargement as usize),
            None => picture,
        }
    }

    /// The region alone, as large as the whole picture would be; the whole picture if it is no part of one.
    pub fn part(&self, enlargement: u32) -> RgbImage {
        let Some(region) = self.region else {
            return enlarged(&self.whole, enlargement);
        };
        let part = cut_out(&self.whole, region, 1);
        let size = [self.whole.width(), self.whole.height()].map(|side| side * enlargement);
        let nearest = image::imageops::FilterType::Nearest;
        image::imageops::resize(&part, size[0], size[1], nearest)
    }
}

pub fn enlarged(picture: &RgbImage, by: u32) -> RgbImage {
    RgbImage::from_fn(picture.width() * by, picture.height() * by, |x, y| {
        *picture.get_pixel(x / by, y / by)
    })
}

/// The prototypes of a run in the order of its bank; none if it has none, or none that can be seen.
pub fn of(run: &Run, device: &Device) -> Result<Option<Vec<Shown>>> {
    let model = run.model.valid();
    let Some(bank) = model.prototypes() else {
        return Ok(None);
    };
    if let Some(decoded) = model.decode(bank.vectors) {
        let whole = image_pictures(decoded, 1)?.into_iter();
        let shown = whole.map(|whole| Shown {
            whole,
            region: None,
        });
        return Ok(Some(shown.collect()));
    }
    let Some(provenance) = model.provenance() else {
        return Ok(None);
    };
    let dataset = run.data.train.as_ref();
    let known: Option<Vec<Provenance>> = provenance.into_iter().collect();
    let known = known.filter(|all| all.iter().all(|one| (one.sample as usize) < dataset.len()));
    // A prototype that is no image yet, or one of other data.
    let Some(known) = known else {
        return Ok(None);
    };
    let rows: Vec<usize> = known.iter().map(|one| one.sample as usize).collect();
    let (images, _) = tables::images(dataset, &rows, device)?;
    let whole = image_pictures(images, 1)?.into_iter().zip(&known);
    let shown = whole.map(|(whole, one)| Shown {
        whole,
        region: one.patch.map(|_| one.region),
    });
    Ok(Some(shown.collect()))
}

/// The rows of the page: for each class the first run of each system.
pub fn rows(
    runs: &[Run],
    table: &SideBySide,
    device: &Device,
    voice: Voice,
) -> Result<Vec<PrototypeRow>> {
    let mut rows = Vec::new();
    for group in &table.groups {
        let first = group.runs.first();
        let Some(run) = runs
            .iter()
            .find(|run| Some(&run.path.display().to_string()) == first)
        else {
            continue;
        };
        let Some(shown) = of(run, device)? else {
            if run.model.prototypes().is_some() {
                voice.note(format!(
                    "note: the prototypes of {} cannot be shown: they come from images that are not there",
                    run.path.display()
                ));
            }
            continue;
        };
        let per_class = shown.len() / run.card.class_names.len().max(1);
        for (class, shown) in shown.chunks(per_class.max(1)).enumerate() {
            let name = run.card.class_names.get(class).cloned().unwrap_or_default();
            let pictures = shown.iter().enumerate().map(|(index, shown)| {
                let alt = format!("{}: {name} #{index}", run.system);
                Picture::new(&shown.boxed(enlargement(shown)), alt, "")
            });
            rows.push(PrototypeRow {
                data: run.data.name.clone(),
                class: name.clone(),
                system: run.system.clone(),
                pictures: pictures.collect::<protovae_explain::Result<_>>()?,
            });
        }
    }
    // The browser enlarges what is whole; a box needs pixels of its own.
    rows.sort_by_key(|row| order(runs, row));
    Ok(rows)
}

/// Boxes are drawn into enlarged pictures, so that they do not hide what they are around.
fn enlargement(shown: &Shown) -> u32 {
    match shown.region {
        Some(_) => (96 / shown.whole.height().max(1)).clamp(1, 4),
        None => 1,
    }
}

/// Data sets as they came, then classes as they are numbered; systems keep their order.
fn order(runs: &[Run], row: &PrototypeRow) -> (usize, usize) {
    let of = |run: &Run| run.data.name == row.data;
    let data = runs.iter().position(of).unwrap_or_default();
    let names = runs.get(data).map(|run| &run.card.class_names);
    let class = names.and_then(|names| names.iter().position(|name| *name == row.class));
    (data, class.unwrap_or_default())
}
