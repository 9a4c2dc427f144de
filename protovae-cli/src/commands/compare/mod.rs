//! `protovae compare`.

mod figures;
mod prototypes;
mod published;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use protovae_core::model::{BoxModel, trainable_values};
use protovae_core::train::{EpochRecord, MetricsLine, ModelCard, evaluate, write_atomically};
use protovae_data::DataSplits;
use protovae_explain::explainers;
use protovae_explain::measures::{Comparison, Form, Quantity, Settings, compare};
use protovae_explain::side_by_side::{Figure, RunFigures, SideBySide};
use serde_json::Value;

use crate::args::{CompareArgs, TableFormat};
use crate::config::RunConfig;
use crate::error::Result;
use crate::model_source::ModelSource;
use crate::output::Voice;
use crate::{files, session, tables};

/// How far an attack may move a pixel.
const ATTACK: f64 = 0.1;

/// A run with everything that is looked at of it.
pub struct Run {
    pub path: PathBuf,
    pub system: String,
    pub model: BoxModel,
    pub card: ModelCard,
    pub data: std::rc::Rc<DataSplits>,
}

pub fn run(arguments: &CompareArgs, voice: Voice) -> Result<()> {
    // A wrong name is told before anything is loaded.
    explainers::named(&arguments.method)?;
    arguments
        .page
        .as_deref()
        .map(files::check_place)
        .transpose()?;
    let device = session::device(&arguments.device, voice)?;
    let mut loaded = Data::default();
    let mut runs = Vec::new();
    let mut found = Vec::new();
    for path in &arguments.runs {
        let source = ModelSource::named(path)?;
        let config = source.config()?;
        let (model, card) = source.load(&device)?;
        let data = loaded.of(&config, arguments.data_dir.as_deref())?;
        session::check_fits(&data, &card)?;
        if card.knows_other_data(&data.digest) {
            voice.note(format!(
                "warning: {} was trained on other data than these",
                path.display()
            ));
        }
        let run = Run {
            path: path.clone(),
            system: system(&config, &model, &card)?,
            model,
            card,
            data,
        };
        found.push(figures_of(
            &run, &config, &source, arguments, &device, voice,
        )?);
        runs.push(run);
    }
    let named: Vec<String> = found.iter().map(|run| run.run.clone()).collect();
    let mut table = SideBySide::of(found);
    table.notes = notes(arguments);
    let left_out = |name: &&String| table.runs.iter().all(|run| run.run != **name);
    for name in named.iter().filter(left_out) {
        voice.note(format!(
            "note: {name} is left out, for it has the settings and the seed of another"
        ));
    }

    if let Some(path) = &arguments.page {
        let rows = prototypes::rows(&runs, &table, &device, voice)?;
        write_atomically(path, table.to_html(&rows).as_bytes())?;
        voice.note(format!("wrote {}", path.display()));
    }
    if let Some(folder) = &arguments.figures {
        for path in figures::draw(&runs, &arguments.classes, folder, &device)? {
            voice.note(format!("wrote {}", path.display()));
        }
    }
    voice.object(&serde_json::to_value(&table)?)?;
    let text = match arguments.format {
        TableFormat::Text => table.text(),
        TableFormat::Markdown => table.markdown(),
        TableFormat::Csv => table.csv(),
    };
    voice.line(text.trim_end())
}

/// Data sets are loaded once.
#[derive(Default)]
struct Data(Vec<(Value, std::rc::Rc<DataSplits>)>);

impl Data {
    fn of(
        &mut self,
        config: &RunConfig,
        data_dir: Option<&Path>,
    ) -> Result<std::rc::Rc<DataSplits>> {
        let json = config.to_json()?;
        // Which images carry a cue depends on the seed.
        let cue = config.cue.as_ref().map(|cue| (cue, config.seed));
        let key = serde_json::json!([json["data"], json["data_dir"], cue]);
        if let Some((_, data)) = self.0.iter().find(|(other, _)| *other == key) {
            return Ok(std::rc::Rc::clone(data));
        }
        let data = std::rc::Rc::new(session::data(config, data_dir)?);
        self.0.push((key, std::rc::Rc::clone(&data)));
        Ok(data)
    }
}

/// What a system is called: its kind, what its encoder is if it is not the data set's small one, what else sets it apart.
fn system(config: &RunConfig, model: &BoxModel, card: &ModelCard) -> Result<String> {
    let json = config.to_json()?;
    let mut name = model.kind().to_string();
    let weights = &json["model"]["loss"]["weights"];
    let is = |key: &str, off: bool| (weights[key].as_f64().unwrap_or(0.0) == 0.0) == off;
    let panvae = name == "protovae" && is("volume", false) && is("orthonormality", true);
    if panvae {
        name = "panvae".to_string();
    }
    if json["model"]["encoder"]["type"] == "resnet18" {
        name.push_str(" + resnet18");
    }
    // What makes it PanVAE need not be said again.
    let apart = match panvae {
        true => card
            .reported_as
            .split(" with ")
            .next()
            .unwrap_or_default()
            .to_string(),
        false => card.reported_as.clone(),
    };
    if apart != model.kind() {
        name.push_str(&format!(", {apart}"));
    }
    if let Some(cue) = &config.cue {
        let percent = 100.0 * cue.share;
        name.push_str(&format!(", cue in {percent} % of class {}", cue.class));
    }
    match card.removed_prototypes.len() {
        0 => {}
        count => name.push_str(&format!(", without {count} of its prototypes")),
    }
    Ok(name)
}

/// Everything of a configuration that decides the result, but the seed.
fn settings(config: &RunConfig) -> Result<String> {
    let mut json = config.to_json()?;
    if let Some(json) = json.as_object_mut() {
        json.remove("seed");
        json.remove("data_dir");
        if let Some(training) = json.get_mut("training").and_then(Value::as_object_mut) {
            for key in [
                "log_every",
                "checkpoint_every",
                "keep_checkpoints",
                "loader_threads",
            ] {
                training.remove(key);
            }
        }
    }
    Ok(json.to_string())
}

/// Runs that other prototypes were taken out of are other runs.
fn removed(card: &ModelCard) -> String {
    match card.removed_prototypes.as_slice() {
        [] => String::new(),
        rows => format!(" without {rows:?}"),
    }
}

fn notes(arguments: &CompareArgs) -> Vec<String> {
    let mut notes = vec![
        "Accuracy: on the whole test set after the last epoch. ↓ less is better, ↑ more is better."
            .to_string(),
    ];
    if arguments.images > 0 {
        notes.push(format!(
            "Everything but accuracy, parameters and seconds: on the first {} test images in the order of seed 0; maps by {} of the predicted \
             class, against a random map on the same images.",
            arguments.images, arguments.method
        ));
    }
    notes
}

fn figures_of(
    run: &Run,
    config: &RunConfig,
    source: &ModelSource,
    arguments: &CompareArgs,
    device: &Device,
    voice: Voice,
) -> Result<RunFigures> {
    let epochs: Vec<EpochRecord> = source
        .metrics()?
        .into_iter()
        .filter_map(|line| match line {
            MetricsLine::Epoch(record) => Some(*record),
            _ => None,
        })
        .collect();
    let test = match epochs.last() {
        Some(last) => last.test.clone(),
        // An imported model was trained elsewhere.
        None => {
            let batches = session::loader(&run.data.test, config.training.batch_size, 1, None)?;
            evaluate(&run.model, &batches, None, device)?.figures
        }
    };
    let mut figures = BTreeMap::from([
        (Figure::Accuracy, test.accuracy),
        (Figure::Parameters, trainable_values(&run.model) as f64),
    ]);
    if !epochs.is_empty() {
        let seconds: f64 = epochs
            .iter()
            .map(|epoch| epoch.timing.train_seconds + epoch.timing.refining_seconds)
            .sum();
        figures.insert(Figure::EpochSeconds, seconds / epochs.len() as f64);
    }
    let other = test.terms.iter();
    if let Some((_, error)) = other.clone().find(|(name, _)| name.ends_with("_error")) {
        figures.insert(Figure::OtherAccuracy, 1.0 - error);
    }
    if arguments.images > 0 {
        let place = run.path.display();
        voice.note(format!("measuring {place}"));
        figures.extend(measured(run, arguments, device)?);
    }
    Ok(RunFigures {
        run: run.path.display().to_string(),
        system: run.system.clone(),
        data: run.data.name.clone(),
        settings: settings(config)? + &removed(&run.card),
        seed: config.seed,
        epochs: epochs.last().map_or(run.card.epochs, |last| last.epoch),
        figures,
        published: published::published(run, config)?,
    })
}

/// The measures of one run's explanations and prototypes.
fn measured(run: &Run, arguments: &CompareArgs, device: &Device) -> Result<BTreeMap<Figure, f64>> {
    let dataset = run.data.test.as_ref();
    let chosen = tables::drawn(0, dataset.len(), arguments.images);
    let (images, labels) = tables::images(dataset, &chosen, device)?;
    let explainer = explainers::named(&arguments.method)?;
    let name = explainer.name().to_string();
    let mut settings = Settings::with_seed(0);
    settings.forms = vec![Form::Probability];
    settings.attacks.epsilons = vec![ATTACK];
    let found = compare(
        &run.model,
        &images,
        &labels,
        vec![explainer],
        settings,
        &mut |_| (),
    )?;
    Ok(figures_in(&found, &name))
}

fn figures_in(found: &Comparison, explainer: &str) -> BTreeMap<Figure, f64> {
    let mut figures = BTreeMap::new();
    let row = |quantity| found.table.row(explainer, quantity, Form::Probability);
    for (figure, quantity) in [
        (Figure::AverageDrop, Quantity::AverageDrop),
        (Figure::AverageIncrease, Quantity::AverageIncrease),
        (Figure::OrderingArea, Quantity::OrderingArea),
        (Figure::MapChange, Quantity::MapChange),
    ] {
        figures.extend(row(quantity).map(|row| (figure, row.summary.mean)));
    }
    let against = row(Quantity::AverageDrop).and_then(|row| row.z);
    figures.extend(against.map(|z| (Figure::DropAgainstRandom, z)));
    if let Some(diversity) = &found.diversity {
        if diversity.class_distance > 0.0 {
            let ratio = diversity.mean_distance / diversity.class_distance;
            figures.insert(Figure::Diversity, ratio);
        }
        figures.extend(
            diversity
                .usage_entropy
                .map(|entropy| (Figure::UsageEntropy, entropy)),
        );
        figures.insert(Figure::Dead, diversity.dead);
    }
    let change = found.similarity_change;
    figures.extend(change.map(|change| (Figure::SimilarityChange, change.mean)));
    let attacked = found.attacks.iter().flatten().find(|one| one.epsilon > 0.0);
    figures.extend(attacked.map(|one| (Figure::AttackedAccuracy, one.pgd.mean)));
    figures
}
