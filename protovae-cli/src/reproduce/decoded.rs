//! What decoders make of prototypes and images, in numbers: for Figures 10 to 14 whether decoded prototypes get sharper, for other losses what they
//! change that accuracy does not tell.

use std::collections::BTreeSet;
use std::path::Path;

use protovae_core::model::BoxModel;
use protovae_core::train::{RunDirectory, load_model};
use protovae_explain::measures::{sharpness, variety};
use serde::{Deserialize, Serialize};

use super::findings::{Bench, kept, of_runs};
use super::measured::{Measured, MeasuredRow};
use super::results::Results;
use crate::error::Result;
use crate::{config, session, tables};

/// Test images that are reconstructed, the first in the order of seed 0.
const RECONSTRUCTED: usize = 1000;

/// What a model's decoder makes of prototypes and test images.
#[derive(Debug, Serialize, Deserialize)]
struct Decoded {
    /// Squared error of reconstructions, mean over pixels.
    error: f64,
    /// Sharpness of prototypes, reconstructions and test images.
    sharpness: [f64; 3],
    /// How much the prototypes of a class differ; none if it has one.
    variety: Option<f64>,
}

/// The columns, and where each is found.
type Column = (&'static str, fn(&Decoded) -> Option<f64>);

const COLUMNS: [Column; 5] = [
    ("reconstruction error", |found| Some(found.error)),
    ("sharpness of prototypes", |found| Some(found.sharpness[0])),
    ("of reconstructions", |found| Some(found.sharpness[1])),
    ("of test images", |found| Some(found.sharpness[2])),
    ("variety within a class", |found| found.variety),
];

/// A row a cell; no table if nothing is trained.
pub fn measured(results: &Results, bench: &Bench) -> Result<Vec<Measured>> {
    let asked = format!("{RECONSTRUCTED} test images");
    let columns = results.cells.iter().map(|cell| &cell.column);
    let one_column = columns.collect::<BTreeSet<_>>().len() <= 1;
    let mut rows = Vec::new();
    for cell in &results.cells {
        let found = of_runs(cell, bench, |run, model| {
            kept(bench, run, "decoded", model, &asked, || decode(run, bench))
        })?;
        if found.is_empty() {
            continue;
        }
        let figures = |found: &Decoded| COLUMNS.iter().map(|(_, of)| of(found)).collect();
        let values: Vec<Vec<Option<f64>>> = found.iter().map(figures).collect();
        let name = match one_column {
            true => cell.row.clone(),
            false => format!("{}, {}", cell.row, cell.column),
        };
        rows.push(MeasuredRow::over_runs(&name, COLUMNS.len(), &values));
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let names = COLUMNS.iter().map(|(name, _)| (*name).to_string());
    Ok(vec![Measured {
        about: format!(
            "decoded prototypes and {RECONSTRUCTED} reconstructed test images; sharpness is the mean absolute difference of neighbouring \
             pixels, variety that of two prototypes of a class, pixels in [-1, 1]"
        ),
        name: "decoded".to_string(),
        shares: false,
        axis: None,
        columns: names.collect(),
        rows,
    }])
}

fn decode(run: &Path, bench: &Bench) -> Result<Decoded> {
    bench.voice.note(format!("decoding {}", run.display()));
    let device = session::device(&bench.pool.device, bench.voice)?.without_autodiff();
    let directory = RunDirectory::open(run)?;
    let config = config::load_file(&directory.config())?;
    let (model, _) = load_model(&directory.model(), &device)?;
    let bank = model
        .prototypes()
        .ok_or_else(|| lacking(&model, "prototypes"))?;
    let decoder = || lacking(&model, "decoder");
    let prototypes = model.decode(bank.vectors).ok_or_else(decoder)?;
    let several = bank.per_class > 1;

    let data = session::data(&config, bench.pool.data_dir.as_deref())?;
    let chosen = tables::drawn(0, data.test.len(), RECONSTRUCTED);
    let all = chosen.len().max(1) as f64;
    let mut found = Decoded {
        error: 0.0,
        sharpness: [sharpness(&prototypes)?, 0.0, 0.0],
        variety: several
            .then(|| variety(&prototypes, bank.per_class))
            .transpose()?,
    };
    for batch in tables::batches(data.test.as_ref(), &chosen, &device) {
        let (images, labels) = batch?;
        let latents = model.predict(images.clone()).latents;
        let decoded = latents.and_then(|latents| model.decode(latents));
        let decoded = decoded.ok_or_else(decoder)?;
        let share = labels.len() as f64 / all;
        let error = (decoded.clone() - images.clone()).powf_scalar(2.0).mean();
        found.error += share * f64::from(error.into_scalar::<f32>());
        found.sharpness[1] += share * sharpness(&decoded)?;
        found.sharpness[2] += share * sharpness(&images)?;
    }
    Ok(found)
}

fn lacking(model: &BoxModel, what: &'static str) -> protovae_core::Error {
    protovae_core::Error::Unsupported {
        model: model.kind().to_string(),
        what,
    }
}
