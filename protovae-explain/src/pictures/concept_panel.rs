//! Concepts as the images with most of them.

use burn::tensor::Tensor;

use super::{Panel, PanelCell, PanelRow, image_pictures};
use crate::error::Result;
use crate::views::ConceptTable;

/// Pixels that an image is enlarged to, about.
const ENLARGED: usize = 64;

/// A row a concept: the images of a set with most of it, at most `count`, each with its class and its activation. A concept
/// that can be negative has as many images with least of it, in a row of their own below; one that is active in no image has no
/// row and is named in the title. `images` gives those at some rows of the table, `[n, C, H, W]`.
///
/// # Errors
/// Those of `images`; [`Error::Shape`](crate::Error::Shape) if images are neither grey nor coloured.
pub fn concept_panel<E: From<crate::Error>>(
    table: &ConceptTable,
    class_names: &[String],
    count: usize,
    images: impl Fn(&[usize]) -> std::result::Result<Tensor<4>, E>,
) -> std::result::Result<Panel, E> {
    let mut rows = Vec::new();
    for concept in 0..table.concepts {
        let mut kinds = vec![(format!("concept {concept}"), table.most(concept, count))];
        if table.is_signed(concept) {
            kinds.push(("least of it".to_string(), table.least(concept, count)));
        }
        for (label, found) in kinds {
            if found.is_empty() {
                continue;
            }
            let wanted: Vec<usize> = found.iter().map(|each| each.image).collect();
            let pictures = drawn(images(&wanted)?)?;
            let cells = pictures.into_iter().zip(&found).map(|(picture, each)| {
                let class = class_names.get(each.label).cloned();
                let class = class.unwrap_or_else(|| each.label.to_string());
                PanelCell::new(picture, format!("{class}: {:.2}", each.activation))
            });
            rows.push(PanelRow {
                label,
                cells: cells.collect(),
            });
        }
    }
    let silent: Vec<String> = table.never_active().iter().map(usize::to_string).collect();
    Ok(Panel {
        title: match silent.is_empty() {
            true => String::new(),
            false => format!("active in no image: {}", silent.join(", ")),
        },
        rows,
        ..Panel::default()
    })
}

fn drawn(images: Tensor<4>) -> Result<Vec<image::RgbImage>> {
    let [_, _, height, width] = images.dims();
    let enlargement = (ENLARGED / height.max(width).max(1)).clamp(1, 4);
    image_pictures(images, enlargement)
}
