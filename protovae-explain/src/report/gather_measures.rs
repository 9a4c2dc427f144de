//! Measures for a report.

use super::{Chart, MeasureRow, MeasureTable, Measures};
use crate::error::Result;
use crate::measures::{Better, Comparison, Form, Quantity, Row};
use crate::pictures::charts::{ChartLabels, LineChart, Series};

pub(super) fn measures(comparison: &Comparison) -> Result<Measures> {
    let mut tables: Vec<(Quantity, Form, MeasureTable)> = Vec::new();
    for row in &comparison.table.rows {
        let known = tables
            .iter_mut()
            .find(|(quantity, form, _)| (*quantity, *form) == (row.quantity, row.form));
        match known {
            Some((_, _, table)) => table.rows.push(entry(row)),
            None => tables.push((
                row.quantity,
                row.form,
                MeasureTable {
                    name: format!("{}, by {}.", row.quantity.title(), row.form.name()),
                    meaning: match row.better {
                        Better::Lower => "Less is better.".to_string(),
                        Better::Higher => "More is better.".to_string(),
                    },
                    rows: vec![entry(row)],
                },
            )),
        }
    }
    let mut notes = comparison.notes.clone();
    if let Some(diversity) = &comparison.diversity {
        notes.push(format!(
            "Diversity of the prototypes: {:.3} mean distance within a class, {:.0} % dead, {:.0} % duplicates.",
            diversity.mean_distance,
            100.0 * diversity.dead,
            100.0 * diversity.duplicates
        ));
    }
    if let Some(change) = &comparison.similarity_change {
        notes.push(format!(
            "Under small noise an image's similarities change by {:.1} % at most, on average over images.",
            100.0 * change.mean
        ));
    }
    Ok(Measures {
        images: format!("{} held-out images", comparison.images),
        tables: tables.into_iter().map(|(_, _, table)| table).collect(),
        charts: charts(comparison)?,
        notes,
    })
}

fn entry(row: &Row) -> MeasureRow {
    MeasureRow {
        explainer: row.explainer.clone(),
        mean: row.summary.mean,
        standard_error: row.summary.standard_error,
        better_by: row.z.map(|z| match row.better {
            Better::Lower => -z,
            Better::Higher => z,
        }),
    }
}

fn charts(comparison: &Comparison) -> Result<Vec<Chart>> {
    let mut charts = Vec::new();
    for form in Form::ALL {
        let series: Vec<Series> = comparison
            .curves
            .iter()
            .filter(|curve| curve.form == form)
            .map(|curve| {
                let last = curve.scores.len().saturating_sub(1).max(1) as f64;
                let points = curve.scores.iter().enumerate();
                Series {
                    name: curve.explainer.clone(),
                    points: points
                        .map(|(step, score)| (100.0 * step as f64 / last, *score))
                        .collect(),
                }
            })
            .collect();
        if series.is_empty() {
            continue;
        }
        let chart = LineChart {
            labels: ChartLabels {
                title: format!("Relevance ordering by {}", form.name()),
                x: "pixels of the image, %".to_string(),
                y: format!("{} over that of the image", form.name()),
                ..ChartLabels::default()
            },
            series,
            ..LineChart::default()
        };
        charts.push(Chart::lines(
            &chart,
            format!(
                "Relevance ordering, by {}: the sooner it rises, the better.",
                form.name()
            ),
        )?);
    }
    if let Some(attacks) = comparison
        .attacks
        .as_ref()
        .filter(|attacks| !attacks.is_empty())
    {
        let points = |value: &dyn Fn(&crate::measures::Attacked) -> f64| {
            attacks
                .iter()
                .map(|attacked| (attacked.epsilon, 100.0 * value(attacked)))
                .collect()
        };
        let chart = LineChart {
            labels: ChartLabels {
                title: "Accuracy under attack".to_string(),
                x: "largest change of a pixel, in values from −1 to 1".to_string(),
                y: "accuracy, %".to_string(),
                ..ChartLabels::default()
            },
            series: vec![
                Series {
                    name: "FGSM".to_string(),
                    points: points(&|attacked| attacked.fgsm.mean),
                },
                Series {
                    name: "PGD".to_string(),
                    points: points(&|attacked| attacked.pgd.mean),
                },
                Series {
                    name: "PGD on the margin".to_string(),
                    points: points(&|attacked| attacked.margin.mean),
                },
            ],
            y_range: Some((0.0, 100.0)),
        };
        charts.push(Chart::lines(
            &chart,
            "Accuracy under attacks that know the model.",
        )?);
    }
    Ok(charts)
}
