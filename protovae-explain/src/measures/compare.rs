//! All measures of several explainers.

use burn::tensor::Tensor;
use protovae_core::model::BoxModel;
use protovae_core::plugin::{Explainer, ExplainerConfig};
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::attacks::check_labels;
use super::{
    Attacked, Attacks, Diversity, DiversityFound, Form, Keep, Masking, Measured, Quantity,
    Question, RelevanceOrdering, Robustness, Summary, Table, pixel_maps,
};
use crate::explainers::RandomMap;

/// A measure that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Measure {
    /// [`Masking`].
    Masking,
    /// [`RelevanceOrdering`].
    Ordering,
    /// [`Robustness`] of maps and of similarities.
    Robustness,
    /// [`Diversity`].
    Diversity,
    /// [`Attacks`].
    Attacks,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Masking,
        Self::Ordering,
        Self::Robustness,
        Self::Diversity,
        Self::Attacks,
    ];
}

/// What is measured, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Which measures; default all.
    pub measures: Vec<Measure>,
    /// On which scores; default both, and the probability alone for a model without prototypes.
    pub forms: Vec<Form>,
    /// Average Drop and Average Increase.
    pub masking: Masking,
    /// The relevance ordering test.
    pub ordering: RelevanceOrdering,
    /// Changes under small noise.
    pub robustness: Robustness,
    /// Gradient attacks.
    pub attacks: Attacks,
    /// Distances and usage of prototypes.
    pub diversity: Diversity,
    /// The seed of the random map.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            measures: Measure::ALL.to_vec(),
            forms: Form::ALL.to_vec(),
            masking: Masking::default(),
            ordering: RelevanceOrdering::default(),
            robustness: Robustness::default(),
            attacks: Attacks::default(),
            diversity: Diversity::default(),
            seed: 0,
        }
    }
}

impl Settings {
    /// The defaults with this seed for everything random.
    pub fn with_seed(seed: u64) -> Self {
        let mut settings = Self::default();
        settings.masking.seed = seed;
        settings.ordering.seed = seed;
        settings.robustness.seed = seed;
        settings.seed = seed;
        settings
    }

    fn wants(&self, measure: Measure) -> bool {
        self.measures.contains(&measure)
    }
}

/// The mean curve of a relevance ordering test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The explainer's name.
    pub explainer: String,
    /// On which score.
    pub form: Form,
    /// The score over that of the whole image, at shares of pixels from 0 to 1 in equal steps.
    pub scores: Vec<f64>,
}

/// What a comparison finds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// How it was measured.
    pub settings: Settings,
    /// The number of images.
    pub images: usize,
    /// Means with standard errors, of each explainer.
    pub table: Table,
    /// Mean curves of the relevance ordering test.
    pub curves: Vec<Curve>,
    /// The largest relative change of an image's similarities under small noise; none for a model without prototypes.
    pub similarity_change: Option<Summary>,
    /// Accuracy under attack.
    pub attacks: Option<Vec<Attacked>>,
    /// The prototypes; none for a model without.
    pub diversity: Option<DiversityFound>,
    /// What could not be measured, and why.
    pub notes: Vec<String>,
    /// What the table was made of, image by image.
    pub measured: Vec<Measured>,
}

/// Measures explainers on images `[N, C, H, W]` with their true classes. The random map is added if it is not among them.
///
/// `progress` is told what comes next. An explainer that the model does not support is left out with a note. Two that are called alike
/// are told apart by their order, as `occlusion` and `occlusion (2)`.
///
/// # Errors
/// If a setting cannot be used, images and labels do not fit each other and the model, or an explainer fails.
pub fn compare(
    model: &BoxModel,
    images: &Tensor<4>,
    labels: &[usize],
    explainers: Vec<Box<dyn Explainer>>,
    settings: Settings,
    progress: &mut dyn FnMut(&str),
) -> Result<Comparison> {
    let count = images.dims()[0];
    check_labels(labels, count, model.classes())?;
    let random = RandomMap {
        seed: settings.seed,
    };
    let random = random.build()?;
    let baseline = random.name().to_string();
    let mut explainers = explainers;
    // One with the seed of these settings in place of any other, and at the end of the table.
    explainers.retain(|explainer| explainer.name() != baseline);
    explainers.push(random);
    let names = distinct(&explainers);

    let prototypes = model.prototypes().is_some();
    let mut notes = Vec::new();
    let mut measured = Vec::new();
    let mut curves = Vec::new();
    let of_maps = [Measure::Masking, Measure::Ordering, Measure::Robustness];
    if of_maps.iter().any(|measure| settings.wants(*measure)) {
        for form in &settings.forms {
            if *form == Form::Similarity && !prototypes {
                notes.push(format!(
                    "{} models have no prototypes: no similarities are measured",
                    model.kind()
                ));
                continue;
            }
            let question = Question::new(model, images, *form)?;
            for (name, explainer) in names.iter().zip(&explainers) {
                progress(&format!("{}: {name}", form.name()));
                let one = One {
                    name,
                    model,
                    images,
                    question: &question,
                    explainer: &**explainer,
                    settings: &settings,
                };
                match one.measure(&mut measured, &mut curves) {
                    Err(error @ Error::Unsupported { .. }) => {
                        notes.push(format!("{name} ({}) is left out: {error}", form.name()))
                    }
                    other => other?,
                }
            }
        }
    }
    let mut similarity_change = None;
    if settings.wants(Measure::Robustness) && prototypes {
        progress("similarities under noise");
        let changes = settings.robustness.similarities(model, images)?;
        similarity_change = Some(Summary::of(&changes));
    }
    let mut diversity = None;
    if settings.wants(Measure::Diversity) && prototypes {
        progress("diversity of the prototypes");
        diversity = Some(settings.diversity.measure(model, images, labels)?);
    }
    let mut attacks = None;
    if settings.wants(Measure::Attacks) {
        progress("accuracy under attack");
        attacks = Some(settings.attacks.measure(model, images, labels)?);
    }
    Ok(Comparison {
        images: count,
        table: Table::new(&measured, &baseline),
        settings,
        curves,
        similarity_change,
        attacks,
        diversity,
        notes,
        measured,
    })
}

/// The names of explainers; of those that are called alike, such as two recipes of one method, the second has `(2)` behind its name.
fn distinct(explainers: &[Box<dyn Explainer>]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(explainers.len());
    for explainer in explainers {
        let name = explainer.name();
        let mut own = name.to_string();
        let mut number = 2;
        while names.contains(&own) {
            own = format!("{name} ({number})");
            number += 1;
        }
        names.push(own);
    }
    names
}

/// One explainer before one question.
struct One<'a> {
    name: &'a str,
    model: &'a BoxModel,
    images: &'a Tensor<4>,
    question: &'a Question,
    explainer: &'a dyn Explainer,
    settings: &'a Settings,
}

impl One<'_> {
    fn measure(&self, measured: &mut Vec<Measured>, curves: &mut Vec<Curve>) -> Result<()> {
        let Self {
            name,
            model,
            images,
            question,
            explainer,
            settings,
        } = self;
        let maps = pixel_maps(model, *explainer, images, &question.targets)?;
        let mut keep = |quantity, values| {
            measured.push(Measured {
                explainer: (*name).to_string(),
                quantity,
                form: question.form,
                values,
            });
        };
        if settings.wants(Measure::Masking) {
            let found = settings.masking.measure(model, images, question, &maps)?;
            let (drop, increase) = match settings.masking.keep {
                Keep::Most => (Quantity::AverageDrop, Quantity::AverageIncrease),
                Keep::Least => (
                    Quantity::AverageDropOfLeast,
                    Quantity::AverageIncreaseOfLeast,
                ),
            };
            keep(drop, found.drops);
            keep(increase, found.increases);
        }
        if settings.wants(Measure::Ordering) {
            let found = settings.ordering.measure(model, images, question, &maps)?;
            keep(Quantity::OrderingArea, found.areas);
            curves.push(Curve {
                explainer: (*name).to_string(),
                form: question.form,
                scores: found.curve,
            });
        }
        if settings.wants(Measure::Robustness) {
            let robustness = &settings.robustness;
            let changes = robustness.maps(model, *explainer, images, question, &maps)?;
            keep(Quantity::MapChange, changes);
        }
        Ok(())
    }
}
