//! `protovae explain`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use protovae_core::model::BoxModel;
use protovae_core::plugin::{Explainer, Target};
use protovae_core::train::{ModelCard, load_model, write_atomically};
use protovae_data::read_picture;
use protovae_explain::explainers;
use protovae_explain::pictures::save_png;
use protovae_explain::views::{ExplainedImage, PrototypeChoice};
use serde_json::{Value, json};

use crate::args::ExplainArgs;
use crate::error::{CliError, Result};
use crate::output::{Voice, print_error};
use crate::session;

/// Pixels that an image is enlarged to, about.
const ENLARGED: usize = 112;

struct Asked {
    model: BoxModel,
    card: ModelCard,
    explainer: Box<dyn Explainer>,
    choice: PrototypeChoice,
    device: Device,
}

pub fn run(arguments: &ExplainArgs, voice: Voice) -> Result<()> {
    let device = session::device(&arguments.device)?;
    let explainer = explainers::named(&arguments.method)?;
    let (model, card) = load_model(&session::model_path(&arguments.run), &device)?;
    let per_class = model.prototypes().map_or(0, |bank| bank.per_class);
    let choice = match per_class {
        0 => PrototypeChoice::All,
        _ => PrototypeChoice::parse(&arguments.prototypes, &card.class_names, per_class)?,
    };
    let asked = Asked {
        model,
        card,
        explainer,
        choice,
        device,
    };
    std::fs::create_dir_all(&arguments.out).map_err(|source| {
        CliError::Core(protovae_core::Error::Io {
            action: "create",
            path: arguments.out.clone(),
            source,
        })
    })?;
    let mut names = HashSet::new();
    let mut failed = 0;
    for path in &arguments.images {
        match explain(path, &asked, arguments, &mut names) {
            Ok((found, words)) => {
                voice.object(&found)?;
                voice.line(format!("{}: {}", path.display(), words.join(" ")))?;
                voice.line(format!(
                    "  {}",
                    found["picture"].as_str().unwrap_or_default()
                ))?;
            }
            // What the model cannot do it can do for no image.
            Err(CliError::Core(error @ protovae_core::Error::Unsupported { .. })) => {
                return Err(error.into());
            }
            Err(error) => {
                failed += 1;
                print_error(&error);
                voice.object(&json!({"image": path, "error": error.to_string()}))?;
            }
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(CliError::Some {
            failed,
            all: arguments.images.len(),
        }),
    }
}

fn explain(
    path: &Path,
    asked: &Asked,
    arguments: &ExplainArgs,
    names: &mut HashSet<String>,
) -> Result<(Value, Vec<String>)> {
    let image = asked.card.image;
    let shape = protovae_data::ImageShape::new(image.channels, image.height, image.width);
    let mut pixels = read_picture(path, shape)?;
    if arguments.invert {
        pixels.iter_mut().for_each(|value| *value = -*value);
    }
    let data = TensorData::new(pixels, [1, image.channels, image.height, image.width]);
    let tensor = Tensor::from_data(data, &asked.device);
    let explained = ExplainedImage::new(
        &asked.model,
        asked.explainer.as_ref(),
        tensor,
        &asked.choice,
    )?;
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
    let enlargement = (ENLARGED / image.height.max(image.width).max(1)).max(1);
    let panel = explained.panel(&title, class_names, enlargement)?.draw()?;
    let stem = file_stem(path, names);
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
        .map(|target| {
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
            found["relevance"] =
                json!(target.relevance.iter().copied().map(f64::from).sum::<f64>());
            found
        })
        .collect();
    let mut found = json!({
        "image": path,
        "class": class,
        "class_index": explained.class,
        "probability": explained.probability,
        "method": asked.explainer.name(),
        "picture": picture,
        "targets": targets,
    });
    if let Some(maps) = maps {
        found["maps"] = json!(maps);
    }
    Ok((found, explained.words(class_names)))
}

/// The name of what is written for a picture: its own, with a number if an earlier one had it.
fn file_stem(path: &Path, names: &mut HashSet<String>) -> String {
    let own = path
        .file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let mut name = own.clone();
    let mut number = 2;
    while !names.insert(name.clone()) {
        name = format!("{own}-{number}");
        number += 1;
    }
    name
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
