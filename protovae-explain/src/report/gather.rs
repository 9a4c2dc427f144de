//! From a model and what it makes of its data to a report.

use burn::tensor::Tensor;
use protovae_core::model::{BoxModel, trainable_values};
use protovae_core::plugin::Explainer;
use protovae_core::train::{EpochRecord, ModelCard};

use super::gather_concepts::{self, concepts};
use super::gather_measures::measures;
use super::gather_predictions::predictions;
use super::gather_prototypes::prototypes;
use super::gather_training::training;
use super::{Chart, Picture, Report, Results, Strangeness};
use crate::error::Result;
use crate::measures::Comparison;
use crate::pictures::charts::{ChartLabels, Histogram, PointGroup, Sample, ScatterChart};
use crate::pictures::image_pictures;
use crate::views::{
    ConceptTable, LatentMap, LatentTable, PrototypeImages, StrangenessDetector, Usage,
};

/// Images of one part of a data set, and what the model makes of them.
pub struct ImageSource<'a> {
    /// What they are, in words, such as `test images`.
    pub name: &'a str,
    /// A row for each image.
    pub table: &'a LatentTable,
    /// The images at some rows of the table, `[n, C, H, W]`.
    pub images: &'a dyn Fn(&[usize]) -> Result<Tensor<4>>,
}

/// What a report is made from.
pub struct Sources<'a> {
    /// The model, as `valid()`.
    pub model: &'a BoxModel,
    /// Its card.
    pub card: &'a ModelCard,
    /// What explains its predictions.
    pub explainer: &'a dyn Explainer,
    /// The records of its epochs; may be empty.
    pub epochs: &'a [EpochRecord],
    /// The resolved configuration, as text.
    pub configuration: &'a str,
    /// The training images; none if they are not at hand.
    pub train: Option<ImageSource<'a>>,
    /// Held-out images.
    pub test: ImageSource<'a>,
    /// The concepts of the held-out images, row by row those of `test`; none for models without concepts.
    pub concepts: Option<&'a ConceptTable>,
    /// Measures of explanations; none if they were not taken.
    pub comparison: Option<&'a Comparison>,
    /// What tells strange images; none for models without prototypes.
    pub detector: Option<&'a StrangenessDetector>,
    /// Wrong and right predictions to explain, of each.
    pub predictions: usize,
    /// Further warnings, such as that the data are not those of the training.
    pub warnings: Vec<String>,
    /// How the report was made.
    pub provenance: Vec<(String, String)>,
}

/// Pixels that pictures in a page have at least, so that they need not be large files.
pub(super) const ENLARGEMENT: usize = 1;

impl Sources<'_> {
    pub(super) fn class(&self, class: usize) -> String {
        self.card
            .class_names
            .get(class)
            .cloned()
            .unwrap_or_else(|| class.to_string())
    }

    pub(super) fn prototype(&self, row: usize) -> String {
        let per_class = self.test.table.per_class.max(1);
        format!("{} #{}", self.class(row / per_class), row % per_class)
    }
}

impl Report {
    /// Gathers a report.
    ///
    /// # Errors
    /// If images cannot be read, decoded, explained or drawn.
    pub fn gather(sources: &Sources) -> Result<Self> {
        let table = sources.test.table;
        let card = sources.card;
        let origins = match &sources.train {
            Some(train) => PrototypeImages::of(sources.model, train.table.len(), train.images)?,
            None => None,
        };
        let accuracy = table.accuracy();
        let usage = Usage::of(table);
        let mut headline = vec![
            (
                "test accuracy".to_string(),
                format!("{:.2} %", 100.0 * accuracy),
            ),
            ("classes".to_string(), card.class_names.len().to_string()),
        ];
        if table.per_class > 0 {
            headline.push((
                "prototypes".to_string(),
                table.prototype_count().to_string(),
            ));
        }
        if let Some(concepts) = sources.concepts {
            headline.push(("concepts".to_string(), concepts.concepts.to_string()));
        }
        headline.push((
            "parameters".to_string(),
            thousands(trainable_values(sources.model)),
        ));
        let mut warnings = sources.warnings.clone();
        if let Some(usage) = &usage {
            warnings.extend(usage.warnings(&card.class_names, table.per_class));
        }
        if let Some(concepts) = sources.concepts {
            warnings.extend(concepts.warnings(gather_concepts::name));
        }
        if let Some(last) = sources.epochs.last() {
            warnings.extend(last.warnings.iter().cloned());
        }
        warnings.sort();
        warnings.dedup();
        Ok(Self {
            title: format!("{} on {}", sources.model.kind(), card.data),
            subtitle: format!(
                "What this classifier has learned, what its predictions rest on, and how far that can be trusted ({}, {}).",
                card.reported_as, card.image
            ),
            headline,
            warnings,
            facts: facts(sources),
            training: training(sources.epochs, sources.configuration)?,
            results: Some(Results {
                images: format!("{} {}", thousands(table.len()), sources.test.name),
                accuracy,
                terms: sources.epochs.last().map_or_else(Vec::new, |last| {
                    last.test
                        .terms
                        .iter()
                        .map(|(name, value)| (name.clone(), *value))
                        .collect()
                }),
                classes: card.class_names.clone(),
                confusion: table.confusion(),
            }),
            prototypes: prototypes(sources, usage.as_ref(), origins.as_ref())?,
            concepts: concepts(sources)?,
            latent_map: latent_map(sources)?,
            predictions: predictions(sources, origins.as_ref())?,
            measures: sources.comparison.map(measures).transpose()?,
            strangeness: strangeness(sources)?,
            provenance: sources.provenance.clone(),
        })
    }
}

/// `1,234,567`.
fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn facts(sources: &Sources) -> Vec<(String, String)> {
    let card = sources.card;
    let kind = |key: &str| {
        let part = card.model.get(key)?.get("type")?.as_str()?;
        Some((key.to_string(), part.to_string()))
    };
    let mut facts = vec![("model".to_string(), sources.model.kind().to_string())];
    facts.extend(["encoder", "decoder", "head"].into_iter().filter_map(kind));
    facts.push((
        "conventions of the losses".to_string(),
        card.reported_as.clone(),
    ));
    facts.push(("images".to_string(), card.image.to_string()));
    let dimensions = match sources.test.table.means.is_empty() {
        true => "dimensions of a patch",
        false => "latent dimensions",
    };
    facts.push((
        dimensions.to_string(),
        sources.test.table.latent_dimensions.to_string(),
    ));
    match sources.concepts {
        Some(concepts) => {
            facts.push(("concepts".to_string(), concepts.concepts.to_string()));
        }
        None => facts.push((
            "prototypes a class".to_string(),
            sources.test.table.per_class.to_string(),
        )),
    }
    facts.push(("trained on".to_string(), card.data.clone()));
    facts.push((
        "digest of the data".to_string(),
        card.data_digest
            .get(..16)
            .unwrap_or(&card.data_digest)
            .to_string(),
    ));
    facts.push(("seed".to_string(), card.seed.to_string()));
    facts.push(("epochs".to_string(), card.epochs.to_string()));
    facts.push(("protovae".to_string(), card.version.clone()));
    facts
}

/// Each of images `[n, C, H, W]` with its description and caption.
pub(super) fn pictures(
    images: Tensor<4>,
    texts: impl IntoIterator<Item = (String, String)>,
) -> Result<Vec<Picture>> {
    let drawn = image_pictures(images, ENLARGEMENT)?;
    let each = drawn.iter().zip(texts);
    each.map(|(picture, (alt, caption))| Picture::new(picture, alt, caption))
        .collect()
}

fn latent_map(sources: &Sources) -> Result<Option<Chart>> {
    let table = sources.test.table;
    let Some(map) = LatentMap::of(table) else {
        return Ok(None);
    };
    let point = |point: &[f32; 2]| (f64::from(point[0]), f64::from(point[1]));
    let groups = (0..table.classes).map(|class| {
        let images = map
            .images
            .iter()
            .zip(&table.labels)
            .filter(|(_, label)| **label == class);
        let prototypes = map.prototypes.iter().enumerate();
        let own = prototypes.filter(|(row, _)| row / table.per_class.max(1) == class);
        PointGroup {
            name: sources.class(class),
            points: images.map(|(at, _)| point(at)).collect(),
            marked: own.map(|(_, at)| point(at)).collect(),
        }
    });
    let explained: f32 = map.explained.iter().sum();
    let chart = ScatterChart {
        labels: ChartLabels {
            title: "The latent space in two dimensions".to_string(),
            x: format!(
                "first principal component ({:.0} %)",
                100.0 * map.explained[0]
            ),
            y: format!("second ({:.0} %)", 100.0 * map.explained[1]),
            ..ChartLabels::default()
        },
        groups: groups.collect(),
        marked: "prototypes".to_string(),
    };
    let caption = format!(
        "The {} on the two directions in which they differ most, which hold {:.0} % of the variance: what looks near here may be far apart.",
        sources.test.name,
        100.0 * explained
    );
    Ok(Some(Chart::scatter(&chart, caption)?))
}

/// Strange images that are shown.
const STRANGEST: usize = 12;

fn strangeness(sources: &Sources) -> Result<Option<Strangeness>> {
    let Some(detector) = sources.detector else {
        return Ok(None);
    };
    let judged = detector.judge_all(sources.test.table);
    let scores: Vec<f64> = judged.iter().map(|judgement| judgement.score).collect();
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    order.truncate(STRANGEST);
    let texts = order.iter().map(|row| {
        let label = sources.class(sources.test.table.labels.get(*row).copied().unwrap_or(0));
        let alt = format!("{label}: {}", judged[*row].reason);
        (alt, format!("{label} {:.1}", scores[*row]))
    });
    let strangest = match order.is_empty() {
        true => Vec::new(),
        false => pictures((sources.test.images)(&order)?, texts)?,
    };
    let strange = judged.iter().filter(|judgement| judgement.strange).count();
    let chart = Histogram {
        labels: ChartLabels {
            title: "Strangeness of the held-out images".to_string(),
            x: "strangeness".to_string(),
            y: "images".to_string(),
            ..ChartLabels::default()
        },
        samples: vec![Sample {
            name: String::new(),
            values: scores,
        }],
        threshold: Some(("strange beyond".to_string(), detector.threshold)),
        ..Histogram::default()
    };
    Ok(Some(Strangeness {
        words: vec![
            "An image is strange if it lies farther from its nearest prototype, or is reconstructed worse, than nearly all held-out images. The model then says that it is unsure.".to_string(),
            format!(
                "The threshold {:.2} was learned from {} held-out images; {strange} of the {} {} here are beyond it.",
                detector.threshold,
                thousands(detector.held_out),
                thousands(judged.len()),
                sources.test.name
            ),
        ],
        chart: Some(Chart::histogram(&chart, "Beyond the dashed line the model says that it is unsure.")?),
        strangest,
    }))
}
