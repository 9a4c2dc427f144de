//! What runs are compared by.

use serde::{Deserialize, Serialize};

use crate::measures::Better;

/// A figure of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Figure {
    /// Share of test images that are taken for what they are.
    Accuracy,
    /// The same of what the system has beside the classifier that explains itself: the black box under KMEx, the predictor of
    /// FLINT.
    OtherAccuracy,
    /// Values in trained parameters.
    Parameters,
    /// Seconds that training takes an epoch, without evaluation.
    EpochSeconds,
    /// Average Drop of the class's probability.
    AverageDrop,
    /// Average Increase of the class's probability.
    AverageIncrease,
    /// Area under the curve of the relevance ordering test, of the class's probability.
    OrderingArea,
    /// Average Drop less that of the random map, in standard errors of the paired difference; negative is better.
    DropAgainstRandom,
    /// Mean distance of a class's prototypes over that between the classes' mean prototypes.
    Diversity,
    /// Normalised entropy of how often a class's prototypes are the most similar.
    UsageEntropy,
    /// Share of prototypes that no measured image of their class uses.
    Dead,
    /// Largest relative change of the map under small noise.
    MapChange,
    /// Largest relative change of the similarities under small noise.
    SimilarityChange,
    /// Accuracy under PGD.
    AttackedAccuracy,
}

/// How a figure is written.
enum Unit {
    Percent,
    Count,
    Seconds,
    Plain,
    Errors,
}

impl Figure {
    /// All, in the order of a table.
    pub const ALL: [Self; 14] = [
        Self::Accuracy,
        Self::OtherAccuracy,
        Self::Parameters,
        Self::EpochSeconds,
        Self::AverageDrop,
        Self::DropAgainstRandom,
        Self::AverageIncrease,
        Self::OrderingArea,
        Self::Diversity,
        Self::UsageEntropy,
        Self::Dead,
        Self::MapChange,
        Self::SimilarityChange,
        Self::AttackedAccuracy,
    ];

    /// As in the head of a table.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::OtherAccuracy => "its black box",
            Self::Parameters => "parameters",
            Self::EpochSeconds => "s an epoch",
            Self::AverageDrop => "Average Drop",
            Self::DropAgainstRandom => "against random",
            Self::AverageIncrease => "Average Increase",
            Self::OrderingArea => "ordering area",
            Self::Diversity => "diversity",
            Self::UsageEntropy => "usage entropy",
            Self::Dead => "dead",
            Self::MapChange => "change of map",
            Self::SimilarityChange => "of similarities",
            Self::AttackedAccuracy => "under PGD",
        }
    }

    /// What it is, in a sentence.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Accuracy => "Share of test images that are taken for what they are.",
            Self::OtherAccuracy => {
                "The same of the classifier beside the one that explains itself: the black box under KMEx, FLINT's predictor."
            }
            Self::Parameters => "Values that are trained.",
            Self::EpochSeconds => {
                "Seconds of training an epoch, on the machine where the run was made."
            }
            Self::AverageDrop => {
                "How much of the class's probability is lost when all but the most relevant half of the image is replaced."
            }
            Self::DropAgainstRandom => {
                "Average Drop less that of the random map, in standard errors of the paired difference."
            }
            Self::AverageIncrease => "Share of images whose probability rises with that.",
            Self::OrderingArea => {
                "Area under the probability's curve as pixels come back in the order of their relevance."
            }
            Self::Diversity => {
                "Mean distance of a class's prototypes over that between the classes' mean prototypes."
            }
            Self::UsageEntropy => {
                "Entropy of how often each of a class's prototypes is the most similar: 1 if all alike, 0 if one alone."
            }
            Self::Dead => {
                "Share of prototypes that are the most similar for no measured image of their class."
            }
            Self::MapChange => "Largest relative change of a relevance map under small noise.",
            Self::SimilarityChange => {
                "Largest relative change of the similarities under the same noise."
            }
            Self::AttackedAccuracy => {
                "Accuracy on the measured images under PGD with epsilon 0.1 for pixels in [-1, 1]."
            }
        }
    }

    /// Which values are better, if that can be said.
    pub const fn better(self) -> Option<Better> {
        match self {
            Self::Accuracy
            | Self::AverageIncrease
            | Self::OrderingArea
            | Self::UsageEntropy
            | Self::AttackedAccuracy => Some(Better::Higher),
            Self::AverageDrop
            | Self::DropAgainstRandom
            | Self::Dead
            | Self::MapChange
            | Self::SimilarityChange
            | Self::EpochSeconds => Some(Better::Lower),
            Self::OtherAccuracy | Self::Parameters | Self::Diversity => None,
        }
    }

    const fn unit(self) -> Unit {
        match self {
            Self::Accuracy | Self::OtherAccuracy | Self::Dead | Self::AttackedAccuracy => {
                Unit::Percent
            }
            Self::Parameters => Unit::Count,
            Self::EpochSeconds => Unit::Seconds,
            Self::DropAgainstRandom => Unit::Errors,
            _ => Unit::Plain,
        }
    }

    /// A value, with its deviation over seeds if there is one.
    ///
    /// ```
    /// use protovae_explain::side_by_side::Figure;
    /// assert_eq!(Figure::Accuracy.text(0.9942, Some(0.0005)), "99.42 ± 0.05 %");
    /// assert_eq!(Figure::Parameters.text(2_761_121.0, None), "2,761,121");
    /// assert_eq!(Figure::AverageDrop.text(0.68, None), "0.680");
    /// ```
    pub fn text(self, value: f64, deviation: Option<f64>) -> String {
        let (factor, digits, sign) = match self.unit() {
            Unit::Percent => (100.0, 2, " %"),
            Unit::Seconds => (1.0, 1, ""),
            Unit::Plain => (1.0, 3, ""),
            Unit::Errors => return format!("z {value:+.1}"),
            Unit::Count => return thousands(value),
        };
        let value = factor * value;
        match deviation {
            Some(deviation) => format!("{value:.digits$} ± {:.digits$}{sign}", factor * deviation),
            None => format!("{value:.digits$}{sign}"),
        }
    }
}

/// `1,234,567`.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
