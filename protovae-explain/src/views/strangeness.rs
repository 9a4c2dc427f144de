//! Whether an image is unlike everything the model was trained on.

use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::LatentTable;

/// Tells images that lie far from all prototypes, or that the decoder cannot reconstruct, from those like the training set's.
///
/// Both figures are put on a scale of their own: the logarithm, less its median over held-out images, over their spread. The
/// score is the larger of the two, and an image is strange whose score is above that of all but `share_rejected` of the
/// held-out images.
///
/// ```
/// use protovae_explain::views::StrangenessDetector;
/// let distances: Vec<f32> = (1..=100).map(|value| value as f32).collect();
/// let detector = StrangenessDetector::fit(&distances, &[], 0.05)?;
/// assert!(!detector.judge(50.0, None).strange);
/// let judgement = detector.judge(300.0, None);
/// assert!(judgement.strange && judgement.reason.contains("prototype"));
/// # Ok::<(), protovae_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrangenessDetector {
    /// Version of this format.
    pub format: u32,
    /// The share of held-out images that are called strange.
    pub share_rejected: f64,
    /// The score above which an image is strange.
    pub threshold: f64,
    /// Images that the threshold was learned from.
    pub held_out: usize,
    /// The squared distance to the nearest prototype; [`LatentTable::nearest`] for models that compare patches.
    pub distance: Figure,
    /// The mean squared error of the reconstruction; none if the model has no decoder.
    pub reconstruction_error: Option<Figure>,
}

/// How one figure spreads over held-out images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The median of the logarithm.
    pub median: f64,
    /// The distance from there to the logarithm that 84 of 100 images stay below: a deviation of the upper half.
    pub spread: f64,
    /// The values that 0 %, 1 %, … 100 % of images do not exceed.
    pub percentiles: Vec<f64>,
}

/// What a detector says of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The larger of the two figures on their scales: about 0 for usual images, larger for stranger ones.
    pub score: f64,
    /// Whether it is above the threshold.
    pub strange: bool,
    /// What stands out, in words.
    pub reason: String,
}

const FORMAT: u32 = 1;

/// Figures this small count as one another.
const SMALLEST: f64 = 1e-12;

fn logarithm(value: f32) -> f64 {
    f64::from(value).max(SMALLEST).ln()
}

/// The value below which that share of sorted values lies.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (share * (sorted.len() - 1) as f64).round() as usize;
    sorted[place.min(sorted.len() - 1)]
}

impl Figure {
    /// From at least one value.
    fn of(values: &[f32]) -> Self {
        let mut logarithms: Vec<f64> = values.iter().copied().map(logarithm).collect();
        logarithms.sort_by(f64::total_cmp);
        let median = quantile(&logarithms, 0.5);
        let spread = (quantile(&logarithms, 0.84) - median).max(1e-6);
        let percentiles =
            (0..=100).map(|share| quantile(&logarithms, f64::from(share) / 100.0).exp());
        Self {
            median,
            spread,
            percentiles: percentiles.collect(),
        }
    }

    fn score(&self, value: f32) -> f64 {
        if value.is_nan() {
            return f64::INFINITY;
        }
        (logarithm(value) - self.median) / self.spread
    }

    /// Of a hundred held-out images, how many have less.
    fn percent_below(&self, value: f32) -> usize {
        let below = self
            .percentiles
            .iter()
            .filter(|limit| **limit < f64::from(value));
        below.count().min(100)
    }
}

impl StrangenessDetector {
    /// Learns from held-out images: their squared distances to the nearest prototype, and the mean squared errors of their
    /// reconstructions (empty if the model has no decoder).
    ///
    /// # Errors
    /// [`Error::Config`] without images, for lists of different lengths, for values that are not finite, or if
    /// `share_rejected` does not lie between 0 and 1.
    pub fn fit(distances: &[f32], errors: &[f32], share_rejected: f64) -> Result<Self> {
        if distances.is_empty() {
            return Err(Error::config(
                "distances",
                "there is no image to learn from",
            ));
        }
        if !errors.is_empty() && errors.len() != distances.len() {
            return Err(Error::config(
                "errors",
                format!("{} errors for {} distances", errors.len(), distances.len()),
            ));
        }
        if distances
            .iter()
            .chain(errors)
            .any(|value| !value.is_finite())
        {
            return Err(Error::config(
                "distances",
                "a distance or error is not a finite number",
            ));
        }
        if !(share_rejected > 0.0 && share_rejected < 1.0) {
            return Err(Error::config(
                "share_rejected",
                format!("must lie between 0 and 1, not {share_rejected}"),
            ));
        }
        let mut detector = Self {
            format: FORMAT,
            share_rejected,
            threshold: f64::INFINITY,
            held_out: distances.len(),
            distance: Figure::of(distances),
            reconstruction_error: (!errors.is_empty()).then(|| Figure::of(errors)),
        };
        let mut scores: Vec<f64> = (0..distances.len())
            .map(|image| detector.scores(distances[image], errors.get(image).copied()))
            .map(|[distance, error]| distance.max(error))
            .collect();
        scores.sort_by(f64::total_cmp);
        let above = (share_rejected * scores.len() as f64).floor() as usize;
        detector.threshold = scores[scores.len() - 1 - above.min(scores.len() - 1)];
        Ok(detector)
    }

    /// Learns from the images of a table.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); [`Error::Config`] if the model has no prototypes.
    pub fn of(table: &LatentTable, share_rejected: f64) -> Result<Self> {
        let nearest: Vec<f32> = (0..table.len())
            .filter_map(|image| table.nearest(image))
            .collect();
        Self::fit(&nearest, &table.reconstruction_errors, share_rejected)
    }

    fn scores(&self, distance: f32, error: Option<f32>) -> [f64; 2] {
        let of_error = match (&self.reconstruction_error, error) {
            (Some(figure), Some(error)) => figure.score(error),
            _ => f64::NEG_INFINITY,
        };
        [self.distance.score(distance), of_error]
    }

    /// Judges an image by its squared distance to the nearest prototype and the mean squared error of its reconstruction.
    pub fn judge(&self, distance: f32, error: Option<f32>) -> Judgement {
        let [by_distance, by_error] = self.scores(distance, error);
        let score = by_distance.max(by_error);
        let strange = score > self.threshold;
        let more = |percent: usize| match percent {
            100 => "than every held-out image".to_string(),
            percent => format!("than {percent} % of held-out images"),
        };
        let far = format!(
            "farther from its nearest prototype {}",
            more(self.distance.percent_below(distance))
        );
        let poor = match (&self.reconstruction_error, error) {
            (Some(figure), Some(error)) => {
                format!("reconstructed worse {}", more(figure.percent_below(error)))
            }
            _ => String::new(),
        };
        let reason = match (by_distance > self.threshold, by_error > self.threshold) {
            (true, true) => format!("{far}, and {poor}"),
            (false, true) => poor,
            (true, false) => far,
            (false, false) if by_error > by_distance => poor,
            (false, false) => far,
        };
        Judgement {
            score,
            strange,
            reason,
        }
    }

    /// Judges every image of a table.
    pub fn judge_all(&self, table: &LatentTable) -> Vec<Judgement> {
        (0..table.len())
            .filter_map(|image| {
                let error = table.reconstruction_errors.get(image).copied();
                Some(self.judge(table.nearest(image)?, error))
            })
            .collect()
    }
}
