//! `protovae explain`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use protovae_core::model::BoxModel;
use protovae_core::plugin::{Explainer, Target};
use protovae_core::train::{ModelCard, write_atomically};
use protovae_data::ImageShape;
use protovae_explain::explainers;
use protovae_explain::pictures::save_png;
use protovae_explain::views::{ExplainedImage, ExplainedTarget, PrototypeChoice, PrototypeImages};
use serde_json::{Value, json};

use crate::args::ExplainArgs;
use crate::error::{CliError, Result};
use crate::image_source::{ImageSource, images};
use crate::model_source::ModelSource;
use crate::output::{Voice, print_error};
use crate::{files, session, tables};

/// Pixels that an image is enlarged to, about.
const ENLARGED: usize = 112;

struct Asked {
    model: BoxModel,
    card: ModelCard,
    explainer: Box<dyn Explainer>,
    /// The training images that prototypes come from, where they do and the images are at hand.
    origins: Option<PrototypeImages>,
    choice: PrototypeChoice,
    device: Device,
}

pub fn run(arguments: &ExplainArgs, voice: Voice) -> Result<()> {
    let device = session::device(&arguments.device, voice)?;
    // A wrong name is told before anything is loaded.
    let asked = arguments.method.as_deref();
    asked.map(explainers::named).transpose()?;
    if let Some(sheet) = &arguments.sheet
        && files::folder_of(sheet) != arguments.out
    {
        files::check_place(sheet)?;
    }
    files::check_folder(&arguments.out)?;
    let source = ModelSource::named(&arguments.run)?;
    let (model, card) = source.load(&device)?;
    let explainer = explainers::named(session::method(asked, &model))?;
    let origins = match origins(&source, arguments, &model, &card, &device) {
        Ok(origins) => origins,
        Err(error) => {
            voice.note(format!(
                "note: prototypes are shown without the training images that they come from: {error}"
            ));
            None
        }
    };
    let per_class = model.prototypes().map_or(0, |bank| bank.per_class);
    let choice = match per_class {
        0 => PrototypeChoice::All,
        _ => PrototypeChoice::parse(&arguments.prototypes, &card.class_names, per_class)?,
    };
    let asked = Asked {
        model,
        card,
        explainer,
        origins,
        choice,
        device,
    };
    let mut sources = test_images(&source, arguments, &asked.card, voice)?;
    if sources.is_empty() || !arguments.images.is_empty() {
        let named = images(&arguments.images, &source, &asked.card, voice)?;
        sources.splice(0..0, named);
    }
    files::create_folder(&arguments.out)?;
    let mut names = taken(&sources, arguments)?;
    let mut explained = Vec::with_capacity(sources.len());
    for source in &sources {
        match explain(source, &asked, arguments, &mut names) {
            Ok((found, image)) => {
                voice.object(&found)?;
                voice.line(format!(
                    "{}: {}",
                    source.name(),
                    image.words(&asked.card.class_names).join(" ")
                ))?;
                voice.line(format!(
                    "  {}",
                    found["picture"].as_str().unwrap_or_default()
                ))?;
                explained.push(image);
            }
            // What the model cannot do it can do for no image.
            Err(CliError::Core(error @ protovae_core::Error::Unsupported { .. })) => {
                return Err(error.into());
            }
            // Nor will there be room for the next one's.
            Err(error) if is_unwritten(&error) => return Err(error),
            Err(error) => {
                print_error(&error);
                voice.object(&json!({"image": source.name(), "error": error.to_string()}))?;
            }
        }
    }
    if let Some(path) = arguments.sheet.as_ref().filter(|_| !explained.is_empty()) {
        let enlargement = enlargement(asked.card.image);
        let sheet = ExplainedImage::sheet(&explained, &asked.card.class_names, enlargement)?;
        save_png(&sheet.draw()?, path)?;
        voice.note(format!("wrote {}", path.display()));
    }
    match sources.len() - explained.len() {
        0 => Ok(()),
        failed => Err(CliError::Some {
            failed,
            all: sources.len(),
        }),
    }
}

/// Whether a result could not be written, which is not the image's fault.
fn is_unwritten(error: &CliError) -> bool {
    use protovae_core::Error as Core;
    match error {
        CliError::Core(Core::Io { action, .. }) => *action != "read",
        CliError::Write { .. } => true,
        CliError::Explain(protovae_explain::Error::Write { .. }) => true,
        _ => false,
    }
}

/// The training images that the model's prototypes come from; none if they come from none.
fn origins(
    source: &ModelSource,
    arguments: &ExplainArgs,
    model: &BoxModel,
    card: &ModelCard,
    device: &Device,
) -> Result<Option<PrototypeImages>> {
    if model.provenance().is_none() {
        return Ok(None);
    }
    let data = session::training_data(source, arguments.data_dir.as_deref(), card)?;
    tables::prototype_images(model, data.train.as_ref(), device)
}

/// The images of the test set that are asked for.
fn test_images<'a>(
    source: &ModelSource,
    arguments: &'a ExplainArgs,
    card: &ModelCard,
    voice: Voice,
) -> Result<Vec<ImageSource<'a>>> {
    if arguments.test.is_empty() {
        return Ok(Vec::new());
    }
    let data = session::data(&source.config()?, arguments.data_dir.as_deref())?;
    session::check_fits(&data, card)?;
    if card.knows_other_data(&data.digest) {
        voice.note("warning: these are not the data that the model was trained on");
    }
    let test = data.test;
    if let Some(number) = arguments.test.iter().find(|number| **number >= test.len()) {
        return Err(CliError::Usage(format!(
            "--test {number}: there are {} test images, numbered from 0",
            test.len()
        )));
    }
    let mut sources = Vec::with_capacity(arguments.test.len());
    for number in &arguments.test {
        let mut pixels = vec![0f32; test.shape().pixels()];
        test.image(*number, &mut pixels)?;
        sources.push(ImageSource::Test(*number, pixels));
    }
    Ok(sources)
}

/// How many times larger an image is drawn.
fn enlargement(image: protovae_core::ImageShape) -> usize {
    (ENLARGED / image.height.max(image.width).max(1)).max(1)
}

fn explain(
    source: &ImageSource,
    asked: &Asked,
    arguments: &ExplainArgs,
    names: &mut HashSet<String>,
) -> Result<(Value, ExplainedImage)> {
    let image = asked.card.image;
    let shape = ImageShape::new(image.channels, image.height, image.width);
    let pixels = source.pixels(shape, arguments.invert)?;
    let data = TensorData::new(pixels, [1, image.channels, image.height, image.width]);
    let tensor = Tensor::from_data(data, &asked.device);
    let mut explained = ExplainedImage::new(
        &asked.model,
        asked.explainer.as_ref(),
        tensor,
        &asked.choice,
    )?;
    if let Some(origins) = &asked.origins {
        explained = explained.with_prototypes(origins);
    }
    let class_names = &asked.card.class_names;
    let class = class_names
        .get(explained.class)
        .cloned()
        .unwrap_or_default();
    let title = format!(
        "{class} ({:.3}), by {}",
        explained.probability,
        asked.explainer.name()
    );
    let panel = explained
        .panel(&title, class_names, enlargement(image))?
        .draw()?;
    let stem = unused(source.stem(), names);
    let picture = arguments.out.join(format!("{stem}.png"));
    save_png(&panel, &picture)?;
    let maps = match arguments.maps {
        true => Some(save_maps(
            &explained,
            &arguments.out.join(format!("{stem}.npy")),
        )?),
        false => None,
    };
    let targets: Vec<Value> = explained
        .targets
        .iter()
        .map(|target| found_for(target, class_names))
        .collect();
    let mut found = json!({
        "image": source.name(),
        "class": class,
        "class_index": explained.class,
        "probability": explained.probability,
        "method": asked.explainer.name(),
        "picture": picture,
        "targets": targets,
    });
    if let Some(concepts) = &explained.concepts {
        found["concepts"] = json!(concepts.contributions);
    }
    if let Some(maps) = maps {
        found["maps"] = json!(maps);
    }
    Ok((found, explained))
}

/// What was found for one target, for other programs.
fn found_for(target: &ExplainedTarget, class_names: &[String]) -> Value {
    let mut found = match (&target.contribution, target.target) {
        (Some(each), _) => json!({
            "class": class_names.get(each.class),
            "class_index": each.class,
            "prototype": each.index,
            "similarity": each.similarity,
            "contribution": each.contribution,
            "share": each.share,
        }),
        (None, Target::Class(class)) => json!({
            "class": class_names.get(class),
            "class_index": class,
        }),
        (None, _) => json!({}),
    };
    found["relevance"] = json!(target.relevance.iter().copied().map(f64::from).sum::<f64>());
    found
}

/// A name that no earlier image had: its own, with a number if need be.
fn unused(own: String, names: &mut HashSet<String>) -> String {
    let mut name = own.clone();
    let mut number = 2;
    while !names.insert(name.clone()) {
        name = format!("{own}-{number}");
        number += 1;
    }
    name
}

/// The names that nothing in the folder of results may have: those of pictures that are explained and lie there, and that of the sheet.
///
/// # Errors
/// [`CliError::Usage`] if the sheet would replace a picture that is explained.
fn taken(sources: &[ImageSource], arguments: &ExplainArgs) -> Result<HashSet<String>> {
    let stem = |path: &Path| {
        let stem = path.file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    };
    let mut names = HashSet::new();
    for source in sources {
        let ImageSource::File(path) = source else {
            continue;
        };
        let lies_there = path
            .file_name()
            .is_some_and(|name| files::same(path, &arguments.out.join(name)));
        if lies_there {
            names.insert(stem(path));
        }
        if let Some(sheet) = &arguments.sheet
            && files::same(path, sheet)
        {
            return Err(CliError::Usage(format!(
                "--sheet {}: that is a picture to explain; choose another file",
                sheet.display()
            )));
        }
    }
    if let Some(sheet) = &arguments.sheet
        && files::same(files::folder_of(sheet), &arguments.out)
    {
        names.insert(stem(sheet));
    }
    Ok(names)
}

/// Writes the relevance of all targets in NumPy's format: `f32`, `[T, C, H, W]`.
fn save_maps(explained: &ExplainedImage, path: &Path) -> Result<PathBuf> {
    let shape = explained.shape;
    let mut header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}, {}, {}), }}",
        explained.targets.len(),
        shape.channels,
        shape.height,
        shape.width
    );
    // Version 1.0: magic, version and length take ten bytes, and the values begin at a multiple of 64.
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 11;
    header.push_str(&" ".repeat(padded - header.len()));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    for target in &explained.targets {
        bytes.extend(
            target
                .relevance
                .iter()
                .flat_map(|value| value.to_le_bytes()),
        );
    }
    write_atomically(path, &bytes)?;
    Ok(path.to_path_buf())
}
