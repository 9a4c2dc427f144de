//! `protovae report`.

use std::sync::Arc;

use burn::tensor::Device;
use protovae_core::train::{EpochRecord, MetricsLine, write_atomically};
use protovae_data::Dataset;
use protovae_explain::explainers;
use protovae_explain::measures::{Comparison, Measure, Settings, compare};
use protovae_explain::report::{ImageSource, Report, Sources};
use protovae_explain::views::StrangenessDetector;
use serde_json::json;

use crate::args::ReportArgs;
use crate::error::Result;
use crate::model_source::ModelSource;
use crate::output::{Voice, shell_word};
use crate::{files, session, tables};

/// Explainers that a report compares; the random map is added to them.
const COMPARED: [&str; 4] = [
    "gradient-times-input",
    "integrated-gradients",
    "smooth-grad",
    "occlusion",
];

pub fn run(arguments: &ReportArgs, voice: Voice) -> Result<()> {
    // A wrong name is told before anything is loaded.
    let asked = arguments.method.as_deref();
    asked.map(explainers::named).transpose()?;
    arguments
        .out
        .as_deref()
        .map(files::check_place)
        .transpose()?;
    let device = session::device(&arguments.device, voice)?;
    let source = ModelSource::named(&arguments.run)?;
    let config = source.config()?;
    let (model, card) = source.load(&device)?;
    let method = session::method(asked, &model);
    let explainer = explainers::named(method)?;
    let data = session::data(&config, arguments.data_dir.as_deref())?;
    session::check_fits(&data, &card)?;
    let mut warnings: Vec<String> = data.notes.clone();
    let per_class = model.prototypes().map(|bank| bank.per_class);
    warnings.extend(session::card_notes(&card, per_class));
    if card.knows_other_data(&data.digest) {
        warnings.push(
            "These are not the data that the model was trained on: figures and neighbours are those of other images."
                .to_string(),
        );
    }
    voice.note(format!("looking at {} training images", data.train.len()));
    let train = tables::latent_table(&model, data.train.as_ref(), &device)?;
    voice.note(format!("looking at {} test images", data.test.len()));
    let test = tables::latent_table(&model, data.test.as_ref(), &device)?;
    let detector = match source.detector(&card)? {
        Some(detector) => Some(detector),
        None if test.prototype_count() > 0 => {
            Some(StrangenessDetector::of(&test, tables::SHARE_REJECTED)?)
        }
        None => None,
    };
    let comparison = match arguments.images {
        0 => None,
        images => Some(measured(
            method, images, &model, &data.test, &device, voice,
        )?),
    };
    let concepts = tables::concept_table(&model, data.test.as_ref(), &device)?;
    let epochs: Vec<EpochRecord> = source
        .metrics()?
        .into_iter()
        .filter_map(|line| match line {
            MetricsLine::Epoch(record) => Some(*record),
            _ => None,
        })
        .collect();
    let configuration = format!("{:#}", config.to_json()?);
    let train_images = tables::images_of(data.train.as_ref(), &device);
    let test_images = tables::images_of(data.test.as_ref(), &device);
    voice.note(match concepts {
        Some(_) => "drawing concepts and explaining predictions",
        None => "drawing prototypes and explaining predictions",
    });
    let report = Report::gather(&Sources {
        model: &model,
        card: &card,
        explainer: explainer.as_ref(),
        epochs: &epochs,
        configuration: &configuration,
        train: Some(ImageSource {
            name: "training images",
            table: &train,
            images: &train_images,
        }),
        test: ImageSource {
            name: "test images",
            table: &test,
            images: &test_images,
        },
        concepts: concepts.as_ref(),
        comparison: comparison.as_ref(),
        detector: detector.as_ref(),
        predictions: arguments.predictions,
        warnings,
        provenance: provenance(arguments, method),
    })?;
    let page = report.to_html(Report::LARGEST)?;
    let path = arguments
        .out
        .clone()
        .unwrap_or_else(|| source.beside("report.html"));
    write_atomically(&path, page.as_bytes())?;
    voice.object(&json!({
        "report": path,
        "bytes": page.len(),
        "accuracy": test.accuracy(),
        "warnings": report.warnings,
    }))?;
    voice.line(format!(
        "{} ({:.1} MB; opens from disk, loads nothing)",
        path.display(),
        page.len() as f64 / 1e6
    ))
}

fn measured(
    method: &str,
    images: usize,
    model: &protovae_core::model::BoxModel,
    dataset: &Arc<dyn Dataset>,
    device: &Device,
    voice: Voice,
) -> Result<Comparison> {
    let chosen = tables::drawn(0, dataset.len(), images);
    let (images, labels) = tables::images(dataset.as_ref(), &chosen, device)?;
    let mut names = vec![method];
    // What starts at prototypes serves models that have them.
    names.extend(COMPARED.iter().filter(|name| **name != method));
    let methods: protovae_core::Result<Vec<_>> = names.into_iter().map(explainers::named).collect();
    let mut settings = Settings::with_seed(0);
    settings.measures = vec![
        Measure::Masking,
        Measure::Ordering,
        Measure::Diversity,
        Measure::Attacks,
    ];
    let found = compare(model, &images, &labels, methods?, settings, &mut |next| {
        voice.note(format!("measuring {next}"));
    })?;
    Ok(found)
}

fn provenance(arguments: &ReportArgs, method: &str) -> Vec<(String, String)> {
    let name = arguments
        .run
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    // A recipe stands between quotes.
    let method = shell_word(method);
    let mut command = format!("protovae report {name} --method {method}");
    command.push_str(&format!(
        " --images {} --predictions {}",
        arguments.images, arguments.predictions
    ));
    let mut made = vec![
        ("command", command),
        ("program", format!("protovae {}", env!("CARGO_PKG_VERSION"))),
        (
            "relevance maps",
            format!("by {method}, each scaled to its own largest values"),
        ),
    ];
    if arguments.predictions > 0 {
        made.push((
            "predictions shown",
            "the wrong ones that the model is surest of, and the first right ones of each class"
                .to_string(),
        ));
    }
    if arguments.images > 0 {
        made.push((
            "images measured",
            format!(
                "the first {} of the test set in the order of seed 0",
                arguments.images
            ),
        ));
    }
    made.into_iter()
        .map(|(name, value)| (name.to_string(), value))
        .collect()
}
