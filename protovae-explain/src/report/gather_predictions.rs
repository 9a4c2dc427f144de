//! Predictions for a report: wrong and right ones, with their reasons.

use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;

use super::gather::{ENLARGEMENT, Sources, pictures};
use super::gather_concepts::parts;
use super::gather_prototypes::boxed_enlargement;
use super::{EvidenceEntry, ExplainedPrediction, Picture};
use crate::error::Result;
use crate::views::{
    ExplainedImage, Path, PrototypeChoice, PrototypeImages, nearest_of_another_class,
};

/// Prototypes that a prediction is explained by.
const PROTOTYPES: usize = 3;

/// Steps from an image to the nearest prototype of another class.
const STEPS: usize = 7;

/// The most certain of the wrong predictions, and the first right ones of each class in turn.
fn chosen(sources: &Sources) -> Vec<usize> {
    let table = sources.test.table;
    let certainty = |row: &usize| table.probability.get(*row).copied().unwrap_or(0.0);
    let rows = 0..table.len();
    let (right, mut wrong): (Vec<usize>, Vec<usize>) =
        rows.partition(|row| table.labels[*row] == table.predicted[*row]);
    wrong.sort_by(|a, b| certainty(b).total_cmp(&certainty(a)).then(a.cmp(b)));
    wrong.truncate(sources.predictions);
    // As they come in the set: neither the best nor the worst.
    let mut by_class = vec![Vec::new(); table.classes];
    for row in right {
        if let Some(members) = by_class.get_mut(table.labels[row]) {
            members.push(row);
        }
    }
    let longest = by_class.iter().map(Vec::len).max().unwrap_or(0);
    let turns = (0..longest).flat_map(|turn| by_class.iter().filter_map(move |all| all.get(turn)));
    wrong.extend(turns.copied().take(sources.predictions));
    wrong
}

pub(super) fn predictions(
    sources: &Sources,
    origins: Option<&PrototypeImages>,
) -> Result<Vec<ExplainedPrediction>> {
    chosen(sources)
        .into_iter()
        .map(|row| prediction(sources, origins, row))
        .collect()
}

fn prediction(
    sources: &Sources,
    origins: Option<&PrototypeImages>,
    row: usize,
) -> Result<ExplainedPrediction> {
    let table = sources.test.table;
    let names = &sources.card.class_names;
    let image = (sources.test.images)(&[row])?;
    let choice = PrototypeChoice::Top(PROTOTYPES);
    let mut explained = ExplainedImage::new(sources.model, sources.explainer, image, &choice)?;
    if let Some(origins) = origins {
        explained = explained.with_prototypes(origins);
    }
    let boxes = boxed_enlargement(sources);
    let label = table.labels.get(row).copied().unwrap_or(0);
    let (label_name, taken) = (sources.class(label), sources.class(explained.class));
    let mut evidence = Vec::new();
    for (target, [alone, over]) in explained.targets.iter().zip(explained.maps(ENLARGEMENT)?) {
        let name = explained.name_of(target, names);
        let drawn = |picture: Option<RgbImage>, alt: String, caption: &str| {
            picture
                .map(|picture| Picture::new(&picture, alt, caption))
                .transpose()
        };
        // What has no box is small enough as it is.
        let enlargement = target.part.map_or(ENLARGEMENT, |_| boxes);
        let prototype = drawn(
            explained.prototype_picture(target, enlargement)?,
            format!("Prototype {name}"),
            "prototype",
        )?;
        let most_similar = drawn(
            explained.most_similar_picture(target, boxes)?,
            format!("Where the image is most similar to {name}"),
            "most similar here",
        )?;
        // The box takes the place of the map alone, which is then less to look at than the one over the image.
        let relevance = match &most_similar {
            Some(_) => None,
            None => Some(Picture::new(
                &alone,
                format!("Relevance for {name}"),
                "relevance",
            )?),
        };
        evidence.push(EvidenceEntry {
            prototype,
            most_similar,
            relevance,
            overlay: Some(Picture::new(
                &over,
                format!("Relevance for {name} over the image"),
                "on the image",
            )?),
            similarity: target
                .contribution
                .map_or(f64::NAN, |each| f64::from(each.similarity)),
            weight: target
                .contribution
                .map_or(f64::NAN, |each| f64::from(each.weight)),
            share: target
                .contribution
                .map_or(f64::NAN, |each| f64::from(each.share)),
            name,
        });
    }
    let mut words = vec![if label == explained.class {
        format!("It is {label_name}.")
    } else {
        format!("It is {label_name}, not {taken}.")
    }];
    words.extend(explained.words(names));
    if let Some(detector) = sources.detector
        && let Some(nearest) = table.nearest(row)
    {
        let judgement = detector.judge(nearest, table.reconstruction_errors.get(row).copied());
        if judgement.strange {
            words.push(format!(
                "The model would say that it is unsure: {}.",
                judgement.reason
            ));
        }
    }
    let (path, path_words) = path(sources, row, explained.class)?;
    let shown = explained.picture(&explained.image, ENLARGEMENT)?;
    let reconstruction = match &explained.reconstruction {
        Some(image) => {
            let picture = explained.picture(image, ENLARGEMENT)?;
            Some(Picture::new(
                &picture,
                "Its reconstruction",
                "reconstructed",
            )?)
        }
        None => None,
    };
    Ok(ExplainedPrediction {
        heading: format!(
            "{label_name}, taken for {taken} (no. {row} of the {})",
            sources.test.name
        ),
        correct: Some(label == explained.class),
        image: Some(Picture::new(
            &shown,
            format!("An image of {label_name}"),
            "the image",
        )?),
        reconstruction,
        words,
        evidence,
        concepts: explained.concepts.as_ref().map(parts).unwrap_or_default(),
        path,
        path_words,
    })
}

/// From an image's mean to the nearest prototype of another class, in pictures and in words.
fn path(sources: &Sources, row: usize, class: usize) -> Result<(Vec<Picture>, String)> {
    let table = sources.test.table;
    let none = (Vec::new(), String::new());
    let Some(mean) = table.mean(row) else {
        return Ok(none);
    };
    let Some(other) = nearest_of_another_class(mean, &table.prototypes, table.per_class, class)
    else {
        return Ok(none);
    };
    let Some(prototype) = table.prototype(other) else {
        return Ok(none);
    };
    let path = Path::between(sources.model, mean, prototype, STEPS)?;
    let shape = sources.model.image_shape();
    let values: Vec<f32> = path
        .steps
        .iter()
        .flat_map(|step| step.image.iter().copied())
        .collect();
    if values.is_empty() {
        return Ok(none);
    }
    let dimensions = [path.steps.len(), shape.channels, shape.height, shape.width];
    let images = Tensor::from_data(TensorData::new(values, dimensions), &Device::flex());
    let texts = path.steps.iter().map(|step| {
        let name = sources.class(step.class);
        let alt = format!("{:.0} % of the way: taken for {name}", 100.0 * step.way);
        (alt, format!("{name} {:.2}", step.probability))
    });
    let name = sources.prototype(other);
    let words = match path.turn {
        Some(turn) => format!(
            "The way to {name}, the nearest prototype of another class. The decision turns after {:.0} % of it.",
            100.0 * turn
        ),
        None => format!(
            "The way to {name}, the nearest prototype of another class. The decision never turns."
        ),
    };
    Ok((pictures(images, texts)?, words))
}
