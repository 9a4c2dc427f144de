//! The prototypes for a report: pictures, where they come from, what lies around them.

use burn::module::Module;
use image::RgbImage;

use super::gather::{Sources, pictures};
use super::{ClassPrototypes, Picture, PrototypeEntry};
use crate::error::Result;
use crate::views::{Neighbour, Neighbours, PrototypeImages, Usage};

/// Neighbours of each kind that a prototype is shown with.
const NEIGHBOURS: usize = 6;

/// Prototypes beyond which neighbours would fill the page with little gain.
const MANY_PROTOTYPES: usize = 60;

/// Pixels that a prototype with a box has on its longer side, at least about.
const BOXED: usize = 112;

/// How many times larger pictures with boxes are.
pub(super) fn boxed_enlargement(sources: &Sources) -> usize {
    let shape = sources.model.image_shape();
    (BOXED / shape.height.max(shape.width).max(1)).clamp(1, 4)
}

pub(super) fn prototypes(
    sources: &Sources,
    usage: Option<&Usage>,
    origins: Option<&PrototypeImages>,
) -> Result<Vec<ClassPrototypes>> {
    let Some(bank) = sources.model.valid().prototypes() else {
        return Ok(Vec::new());
    };
    let table = sources.test.table;
    let count = table.prototype_count();
    let mut decoded = match sources.model.valid().decode(bank.vectors) {
        Some(decoded) => {
            let texts = (0..count).map(|row| {
                (
                    format!("Prototype {}", sources.prototype(row)),
                    String::new(),
                )
            });
            pictures(decoded, texts)?.into_iter().map(Some).collect()
        }
        None => vec![None; count],
    };
    let wanted = if count > MANY_PROTOTYPES {
        NEIGHBOURS / 2
    } else {
        NEIGHBOURS
    };
    let neighbours = sources
        .train
        .as_ref()
        .map(|train| Neighbours::of(train.table, wanted));
    let around = |list: &[Neighbour]| -> Result<Vec<Picture>> {
        let (Some(train), false) = (&sources.train, list.is_empty()) else {
            return Ok(Vec::new());
        };
        let rows: Vec<usize> = list.iter().map(|neighbour| neighbour.image).collect();
        let texts = list.iter().map(|neighbour| {
            let class = sources.class(neighbour.label);
            let (alt, figure) = match neighbour.similarity {
                Some(similarity) => (
                    format!("Training image of {class}, similarity {similarity:.2}"),
                    similarity,
                ),
                None => {
                    let distance = neighbour.squared_distance.max(0.0).sqrt();
                    let alt = format!("Training image of {class}, {distance:.2} away");
                    (alt, distance)
                }
            };
            (alt, format!("{class} {figure:.2}"))
        });
        pictures((train.images)(&rows)?, texts)
    };
    let mut classes = Vec::with_capacity(table.classes);
    for class in 0..table.classes {
        let mut entries = Vec::with_capacity(table.per_class);
        for row in class * table.per_class..(class + 1) * table.per_class {
            let used = usage.and_then(|usage| {
                Some((
                    usage.nearest_of_class.get(row)?,
                    usage.nearest_of_all.get(row)?,
                ))
            });
            let (mut nearest, mut farthest) = (Vec::new(), Vec::new());
            if let Some(neighbours) = &neighbours {
                nearest = around(neighbours.nearest.get(row).map_or(&[], Vec::as_slice))?;
                farthest = around(
                    neighbours
                        .farthest_of_class
                        .get(row)
                        .map_or(&[], |all| &all[..all.len().min(wanted / 2)]),
                )?;
            }
            let mut picture = decoded.get_mut(row).and_then(Option::take);
            let (mut part, mut origin) = (None, String::new());
            if let Some(origins) = origins {
                let name = sources.prototype(row);
                let enlargement = boxed_enlargement(sources);
                let drawn = |picture: Option<RgbImage>, alt: String| {
                    picture
                        .map(|picture| Picture::new(&picture, alt, ""))
                        .transpose()
                };
                origin = origins.words(row);
                let whole = origins.picture(row, enlargement)?;
                picture = drawn(whole, format!("Prototype {name}: {origin}"))?.or(picture);
                let alone = origins.part(row, 1)?;
                part = drawn(alone, format!("The part of it that is prototype {name}"))?;
            }
            entries.push(PrototypeEntry {
                name: sources.prototype(row),
                picture,
                part,
                origin,
                usage: used.map_or_else(String::new, |(own, all)| {
                    format!(
                        "Nearest of its class for {own}, nearest of all for {all} of the {}.",
                        sources.test.name
                    )
                }),
                nearest,
                farthest,
            });
        }
        classes.push(ClassPrototypes {
            class: sources.class(class),
            prototypes: entries,
        });
    }
    Ok(classes)
}
