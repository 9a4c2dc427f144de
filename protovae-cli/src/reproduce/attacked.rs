//! What is left of accuracies under attack, and on images that were made for the other models of the same data and seed.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use protovae_core::model::BoxModel;
use protovae_core::train::{RunDirectory, load_model};
use protovae_explain::measures::{Attacked, Attacks, Transferred};

use super::findings::{Bench, kept, of_runs};
use super::measured::{Measured, MeasuredRow};
use super::results::{CellResult, Results};
use crate::error::Result;
use crate::{config, session, tables};

/// Test images that are attacked, the first in the order of seed 0.
const ATTACKED: usize = 1000;

/// How far pixels are moved, in `[-1, 1]`; half of it with pixels in `[0, 1]`.
const EPSILONS: [f64; 7] = [0.0125, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4];

type Accuracy = fn(&Attacked) -> f64;

const KINDS: [(&str, Accuracy); 3] = [
    ("FGSM", |attacked| attacked.fgsm.mean),
    ("PGD", |attacked| attacked.pgd.mean),
    ("PGD on the margin", |attacked| attacked.margin.mean),
];

/// A table a data set: three rows a cell, then one for each pair of cells whose runs are here.
pub fn measured(results: &Results, bench: &Bench) -> Result<Vec<Measured>> {
    let settings = Attacks {
        epsilons: EPSILONS.to_vec(),
        ..Attacks::default()
    };
    let mut sets: Vec<&str> = Vec::new();
    for cell in &results.cells {
        if !sets.contains(&cell.column.as_str()) {
            sets.push(&cell.column);
        }
    }
    let mut tables = Vec::new();
    for set in sets {
        let of_set = |cell: &&CellResult| cell.column == set;
        let cells: Vec<&CellResult> = results.cells.iter().filter(of_set).collect();
        let rows = rows(&cells, &settings, bench)?;
        if rows.is_empty() {
            continue;
        }
        let epsilons = std::iter::once(0.0).chain(EPSILONS);
        tables.push(Measured {
            about: format!(
                "{set}: accuracy under attack, {ATTACKED} test images, {} steps of PGD",
                settings.steps
            ),
            name: set.to_string(),
            shares: true,
            axis: Some("epsilon, pixels in [0, 1]".to_string()),
            columns: epsilons.map(|e| (e / 2.0).to_string()).collect(),
            rows,
        });
    }
    Ok(tables)
}

fn rows(cells: &[&CellResult], settings: &Attacks, bench: &Bench) -> Result<Vec<MeasuredRow>> {
    let asked = format!("{ATTACKED} test images, {settings:?}");
    let columns = 1 + settings.epsilons.len();
    let mut rows = Vec::new();
    let mut row = |name: String, values: &[Vec<Option<f64>>]| {
        if !values.is_empty() {
            rows.push(MeasuredRow::over_runs(&name, columns, values));
        }
    };
    for cell in cells {
        let found = of_runs(cell, bench, |run, model| {
            kept(bench, run, "attacks", model, &asked, || {
                attack(run, settings, bench)
            })
        })?;
        for (kind, accuracy) in KINDS {
            let of_run = |run: &Vec<Attacked>| run.iter().map(|one| Some(accuracy(one))).collect();
            let values: Vec<_> = found.iter().map(of_run).collect();
            row(format!("{}, {kind}", cell.row), &values);
        }
    }
    for to in cells {
        for from in cells.iter().filter(|from| from.row != to.row) {
            let found = transferred(from, to, settings, &asked, bench)?;
            let of_run = |run: &Vec<Transferred>| {
                let means = run.iter().map(|one| Some(one.accuracy.mean));
                means.collect()
            };
            let values: Vec<_> = found.iter().map(of_run).collect();
            row(format!("{}, made for {}", to.row, from.row), &values);
        }
    }
    Ok(rows)
}

/// What each run of `to` makes of the images that were made for the run of `from` with its seed, of those that are here.
fn transferred(
    from: &CellResult,
    to: &CellResult,
    settings: &Attacks,
    asked: &str,
    bench: &Bench,
) -> Result<Vec<Vec<Transferred>>> {
    let mut found = Vec::new();
    for run in &to.runs {
        let same_seed = from.runs.iter().find(|other| other.seed == run.seed);
        let Some(other) = same_seed else { continue };
        let [here, there] = [run, other].map(|run| bench.pool.folder(run));
        if !(here.is_dir() && there.is_dir()) {
            continue;
        }
        let kind = format!("made-for-{}", other.run);
        let models = format!("{}, {}", run.model, other.model);
        found.push(kept(bench, &here, &kind, &models, asked, || {
            transfer(&there, &here, settings, bench)
        })?);
    }
    Ok(found)
}

fn attack(run: &Path, settings: &Attacks, bench: &Bench) -> Result<Vec<Attacked>> {
    bench.voice.note(format!("attacking {}", run.display()));
    let device = session::device(&bench.pool.device, bench.voice)?;
    let (images, labels) = images(run, &device, bench)?;
    Ok(settings.measure(&model(run, &device)?, &images, &labels)?)
}

fn transfer(from: &Path, to: &Path, settings: &Attacks, bench: &Bench) -> Result<Vec<Transferred>> {
    bench.voice.note(format!(
        "attacking {} with images made for {}",
        to.display(),
        from.display()
    ));
    let device = session::device(&bench.pool.device, bench.voice)?;
    let (images, labels) = images(to, &device, bench)?;
    let [from, to] = [model(from, &device)?, model(to, &device)?];
    Ok(settings.transfer(&from, &to, &images, &labels)?)
}

fn model(run: &Path, device: &Device) -> Result<BoxModel> {
    let path: PathBuf = RunDirectory::open(run)?.model();
    Ok(load_model(&path, device)?.0)
}

/// The images that a run's model is attacked on, and their classes.
fn images(run: &Path, device: &Device, bench: &Bench) -> Result<(Tensor<4>, Vec<usize>)> {
    let config = config::load_file(&RunDirectory::open(run)?.config())?;
    let data = session::data(&config, bench.pool.data_dir.as_deref())?;
    let chosen = tables::drawn(0, data.test.len(), ATTACKED);
    tables::images(
        data.test.as_ref(),
        &chosen,
        &device.clone().without_autodiff(),
    )
}
