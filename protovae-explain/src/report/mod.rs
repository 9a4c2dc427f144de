//! The report: one HTML page about one model, to be opened from disk, sent by mail, printed.
//!
//! [`Report`] is plain data; [`Report::gather`] fills it from a model and its data, and [`Report::to_html`] makes the page. It has no scripts and loads nothing: pictures are inside, and a
//! content security policy forbids everything else. Every text is escaped, whoever supplied it.
//!
//! ```
//! use protovae_explain::report::Report;
//! let report = Report { title: "digits <1>".into(), ..Report::default() };
//! let page = report.to_html(Report::LARGEST)?;
//! assert!(page.contains("digits &lt;1&gt;") && !page.contains("<script"));
//! # Ok::<(), protovae_explain::Error>(())
//! ```

mod concepts;
mod confusion;
pub(crate) mod document;
pub(crate) mod figures;
mod gather;
mod gather_concepts;
mod gather_measures;
mod gather_predictions;
mod gather_prototypes;
mod gather_training;
mod measured;
mod page;
mod predictions;
mod prototypes;
mod sheet;
mod training;

pub use figures::{Chart, Picture};
pub use gather::{ImageSource, Sources};
pub use sheet::{Sheet, SheetTable};

use serde::{Deserialize, Serialize};

/// Everything that a page shows. Parts without data are left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// The page's name.
    pub title: String,
    /// One sentence below it.
    pub subtitle: String,
    /// The figures that a reader looks for first, with their names: `("test accuracy", "99.42 %")`.
    pub headline: Vec<(String, String)>,
    /// What the reader should beware of.
    pub warnings: Vec<String>,
    /// What the model is and what it was trained on, a line each.
    pub facts: Vec<(String, String)>,
    /// How it was trained.
    pub training: Option<Training>,
    /// How often it is right.
    pub results: Option<Results>,
    /// What it has learned to look for.
    pub prototypes: Vec<ClassPrototypes>,
    /// The concepts that it explains itself by, if it does so.
    #[serde(default)]
    pub concepts: Vec<ConceptEntry>,
    /// Where images and prototypes lie.
    pub latent_map: Option<Chart>,
    /// Single predictions with their reasons.
    pub predictions: Vec<ExplainedPrediction>,
    /// What the explanations are worth.
    pub measures: Option<Measures>,
    /// How strange images are recognised.
    pub strangeness: Option<Strangeness>,
    /// How the page was made: command, version, and the like.
    pub provenance: Vec<(String, String)>,
}

/// How a model was trained.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Training {
    /// Settings worth a line.
    pub facts: Vec<(String, String)>,
    /// Accuracy and losses over the epochs.
    pub charts: Vec<Chart>,
    /// The resolved configuration, shown as it is.
    pub configuration: String,
}

/// How often a model is right.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Results {
    /// The part of the data set, in words, such as `10,000 test images`.
    pub images: String,
    /// Share of images taken for what they are.
    pub accuracy: f64,
    /// Each term of the loss.
    pub terms: Vec<(String, f64)>,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// `confusion[true][predicted]`, images.
    pub confusion: Vec<Vec<u64>>,
}

/// The prototypes of one class.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ClassPrototypes {
    /// The class.
    pub class: String,
    /// Its prototypes.
    pub prototypes: Vec<PrototypeEntry>,
}

/// One prototype.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PrototypeEntry {
    /// Such as `7 #2`.
    pub name: String,
    /// The prototype decoded, or the training image that it comes from.
    pub picture: Option<Picture>,
    /// The part of that image that the prototype is, unless it is the whole.
    pub part: Option<Picture>,
    /// The training image that it comes from, in words; empty for prototypes that come from none.
    pub origin: String,
    /// How it is used, in words.
    pub usage: String,
    /// The training images nearest to it, with captions in their `alt`.
    pub nearest: Vec<Picture>,
    /// The training images of its class farthest from it.
    pub farthest: Vec<Picture>,
}

/// One concept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConceptEntry {
    /// Such as `concept 3`.
    pub name: String,
    /// How often it is active, in words.
    pub usage: String,
    /// The held-out images with most of it, with captions in their `alt`.
    pub most: Vec<Picture>,
    /// Those with least of it, if it can be negative.
    pub least: Vec<Picture>,
    /// The classes that it speaks for, and what it adds to their score.
    pub speaks_for: Vec<(String, f64)>,
}

/// One prediction and its reasons.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ExplainedPrediction {
    /// Such as `Test image 17`.
    pub heading: String,
    /// Whether the prediction is right, if that is known.
    pub correct: Option<bool>,
    /// The image.
    pub image: Option<Picture>,
    /// What the decoder makes of it.
    pub reconstruction: Option<Picture>,
    /// What the prediction rests on, a sentence each.
    pub words: Vec<String>,
    /// The prototypes that speak most for it.
    pub evidence: Vec<EvidenceEntry>,
    /// The concepts that count most for or against it.
    #[serde(default)]
    pub concepts: Vec<ConceptPart>,
    /// From the image to the nearest prototype of another class.
    pub path: Vec<Picture>,
    /// What the path shows, in a sentence.
    pub path_words: String,
}

/// One prototype's part in a prediction.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EvidenceEntry {
    /// Such as `7 #2`.
    pub name: String,
    /// The prototype decoded, or the training image that it comes from.
    pub prototype: Option<Picture>,
    /// The image with a box where it is most similar to the prototype, for models that compare patches.
    pub most_similar: Option<Picture>,
    /// Relevance of the pixels.
    pub relevance: Option<Picture>,
    /// The same over the image.
    pub overlay: Option<Picture>,
    /// The similarity to the prototype.
    pub similarity: f64,
    /// What it is multiplied with in the score of the class.
    pub weight: f64,
    /// Its share of what speaks for the class, from 0 to 1.
    pub share: f64,
}

/// One concept's part in a prediction.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConceptPart {
    /// Such as `concept 3`.
    pub name: String,
    /// How much of it there is in the image.
    pub amount: f64,
    /// What that is multiplied with.
    pub weight: f64,
    /// The product: what it adds to the score of the predicted class.
    pub contribution: f64,
    /// Its share of what speaks for the class, from 0 to 1.
    pub share: f64,
}

/// A table of measures of explanations.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Measures {
    /// What was measured on, in words.
    pub images: String,
    /// One table for each measure.
    pub tables: Vec<MeasureTable>,
    /// Curves of the ordering test, of attacks, and the like.
    pub charts: Vec<Chart>,
    /// What else is to be said.
    pub notes: Vec<String>,
}

/// One measure of all explainers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MeasureTable {
    /// The measure's name.
    pub name: String,
    /// What it says, and whether more or less of it is better.
    pub meaning: String,
    /// A row for each explainer.
    pub rows: Vec<MeasureRow>,
}

/// One measure of one explainer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MeasureRow {
    /// The explainer.
    pub explainer: String,
    /// The mean over the images.
    pub mean: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// How much better than the random map it is, in standard errors of the difference; none for the random map itself.
    pub better_by: Option<f64>,
}

/// How strange images are recognised.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Strangeness {
    /// In words: threshold, share of held-out images, what it was learned from.
    pub words: Vec<String>,
    /// The scores of held-out images.
    pub chart: Option<Chart>,
    /// The strangest of the held-out images.
    pub strangest: Vec<Picture>,
}
