//! Numbers with their standard errors, beside those of the random map.

use serde::{Deserialize, Serialize};

use super::Form;

/// What is measured of an explainer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Quantity {
    /// Mean of `max(0, s − s′) / s` when the most relevant part is kept.
    AverageDrop,
    /// Share of images with `s′ > s` when the most relevant part is kept.
    AverageIncrease,
    /// As [`Quantity::AverageDrop`], but the least relevant part is kept.
    AverageDropOfLeast,
    /// As [`Quantity::AverageIncrease`], but the least relevant part is kept.
    AverageIncreaseOfLeast,
    /// Area under the curve of the relevance ordering test.
    OrderingArea,
    /// Largest relative change of the map under small noise.
    MapChange,
}

/// Which numbers are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// Smaller ones.
    Lower,
    /// Larger ones.
    Higher,
}

impl Quantity {
    /// As in the head of a table.
    pub const fn title(self) -> &'static str {
        match self {
            Self::AverageDrop => "Average Drop",
            Self::AverageIncrease => "Average Increase",
            Self::AverageDropOfLeast => "Average Drop, least kept",
            Self::AverageIncreaseOfLeast => "Average Increase, least kept",
            Self::OrderingArea => "Ordering area",
            Self::MapChange => "Change of the map",
        }
    }

    /// Which numbers are better.
    pub const fn better(self) -> Better {
        match self {
            Self::AverageDrop | Self::AverageIncreaseOfLeast | Self::MapChange => Better::Lower,
            Self::AverageIncrease | Self::AverageDropOfLeast | Self::OrderingArea => Better::Higher,
        }
    }
}

/// A mean and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The number of values.
    pub images: usize,
    /// Their mean; 0 of none.
    pub mean: f64,
    /// The standard error of the mean, the deviation taken with `n − 1`; 0 of fewer than two.
    pub standard_error: f64,
}

impl Summary {
    /// Of some values.
    ///
    /// ```
    /// use protovae_explain::measures::Summary;
    /// let found = Summary::of(&[1.0, 2.0, 3.0]);
    /// assert_eq!(found.mean, 2.0);
    /// assert!((found.standard_error - (1.0f64 / 3.0).sqrt()).abs() < 1e-12);
    /// ```
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count.max(1.0);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let standard_error = if values.len() < 2 {
            0.0
        } else {
            (squares / (count - 1.0) / count).sqrt()
        };
        Self {
            images: values.len(),
            mean,
            standard_error,
        }
    }
}

/// What was measured of an explainer, image by image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The explainer's name.
    pub explainer: String,
    /// What.
    pub quantity: Quantity,
    /// On which score.
    pub form: Form,
    /// A value an image, in the same order for every explainer.
    pub values: Vec<f64>,
}

/// A mean beside that of the random map on the same images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The explainer's name.
    pub explainer: String,
    /// What was measured.
    pub quantity: Quantity,
    /// On which score.
    pub form: Form,
    /// Which values are better.
    pub better: Better,
    /// The mean over images.
    #[serde(flatten)]
    pub summary: Summary,
    /// The mean minus the random map's; none for the random map itself.
    pub difference: Option<f64>,
    /// The standard error of the difference, from the differences image by image.
    pub difference_error: Option<f64>,
    /// The difference over its standard error; none where that error is 0.
    pub z: Option<f64>,
}

impl Row {
    /// Whether it is better than the random map by more than so many standard errors of the difference; none for the random map.
    pub fn beats_random(&self, errors: f64) -> Option<bool> {
        let gain = match self.better {
            Better::Lower => -self.difference?,
            Better::Higher => self.difference?,
        };
        Some(gain > 0.0 && gain > errors * self.difference_error?)
    }
}

/// All means of a comparison.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Table {
    /// In the order in which explainers and quantities were measured.
    pub rows: Vec<Row>,
}

impl Table {
    /// From values image by image; `baseline` is the name of the random map among them.
    pub fn new(measured: &[Measured], baseline: &str) -> Self {
        let row = |own: &Measured| {
            let random = measured.iter().find(|other| {
                other.explainer == baseline
                    && (other.quantity, other.form) == (own.quantity, own.form)
                    && other.values.len() == own.values.len()
            });
            let random = random.filter(|_| own.explainer != baseline);
            let difference = random.map(|random| {
                let pairs = own.values.iter().zip(&random.values);
                Summary::of(
                    &pairs
                        .map(|(own, random)| own - random)
                        .collect::<Vec<f64>>(),
                )
            });
            Row {
                explainer: own.explainer.clone(),
                quantity: own.quantity,
                form: own.form,
                better: own.quantity.better(),
                summary: Summary::of(&own.values),
                difference: difference.map(|found| found.mean),
                difference_error: difference.map(|found| found.standard_error),
                z: difference
                    .filter(|found| found.standard_error > 0.0)
                    .map(|found| found.mean / found.standard_error),
            }
        };
        Self {
            rows: measured.iter().map(row).collect(),
        }
    }

    /// The row of an explainer, a quantity and a form.
    pub fn row(&self, explainer: &str, quantity: Quantity, form: Form) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.explainer == explainer && row.quantity == quantity && row.form == form)
    }
}
