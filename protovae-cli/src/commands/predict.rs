//! `protovae predict`.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use protovae_core::model::BoxModel;
use protovae_core::train::ModelCard;
use protovae_explain::views::{
    ConceptEvidence, LatentTable, StrangenessDetector, has_concepts, place_in_words,
};
use serde_json::{Value, json};

use crate::args::PredictArgs;
use crate::error::{CliError, Result};
use crate::image_source::{ImageSource, images};
use crate::model_source::ModelSource;
use crate::output::{Voice, print_error};
use crate::session;

pub fn run(arguments: &PredictArgs, voice: Voice) -> Result<()> {
    let device = session::device(&arguments.device, voice)?;
    let source = ModelSource::named(&arguments.run)?;
    let (model, card) = source.load(&device)?;
    let detector = match arguments.never_abstain {
        true => None,
        false => source.detector(&card)?,
    };
    let images = images(&arguments.images, &source, &card, voice)?;
    let mut failed = 0;
    for image in &images {
        match predict(image, &model, &card, detector.as_ref(), arguments, &device) {
            Ok(found) => show(&found, voice)?,
            Err(error) => {
                failed += 1;
                print_error(&error);
                voice.object(&json!({"image": image.name(), "error": error.to_string()}))?;
            }
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(CliError::Some {
            failed,
            all: images.len(),
        }),
    }
}

fn predict(
    source: &ImageSource,
    model: &BoxModel,
    card: &ModelCard,
    detector: Option<&StrangenessDetector>,
    arguments: &PredictArgs,
    device: &Device,
) -> Result<Value> {
    let image = card.image;
    let shape = protovae_data::ImageShape::new(image.channels, image.height, image.width);
    let pixels = source.pixels(shape, arguments.invert)?;
    let data = TensorData::new(pixels, [1, image.channels, image.height, image.width]);
    let image = Tensor::from_data(data, device);
    let prediction = model.predict(image.clone());
    let probabilities = values(softmax(prediction.logits, 1));
    let (class, probability) = largest(&probabilities);
    let name = |class: usize| card.class_names.get(class).cloned().unwrap_or_default();
    let mut found = json!({
        "image": source.name(),
        "class": name(class),
        "class_index": class,
        "probability": probability,
        "probabilities": probabilities,
    });
    if let (Some(similarities), Some(bank)) = (prediction.similarities, model.prototypes()) {
        let places = model.provenance().unwrap_or_default();
        let mut ranked: Vec<(usize, f32)> = values(similarities).into_iter().enumerate().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let nearest: Vec<Value> = ranked
            .into_iter()
            .take(arguments.prototypes)
            .map(|(row, similarity)| {
                let class = row / bank.per_class.max(1);
                let mut nearest = json!({
                    "class": name(class),
                    "class_index": class,
                    "prototype": row % bank.per_class.max(1),
                    "similarity": similarity,
                });
                if let Some(Some(place)) = places.get(row) {
                    nearest["from"] = json!(place_in_words(place, card.image));
                }
                nearest
            })
            .collect();
        found["prototypes"] = Value::Array(nearest);
    }
    if has_concepts(model)
        && let Some(evidence) = ConceptEvidence::of(model, image.clone())?
            .into_iter()
            .next()
    {
        let most = evidence.contributions.iter().take(arguments.prototypes);
        found["concepts"] = json!(most.collect::<Vec<_>>());
    }
    if let Some(detector) = detector {
        let table = LatentTable::new(model, [Ok::<_, CliError>((image, vec![0]))])?;
        if let Some(judgement) = detector.judge_all(&table).into_iter().next() {
            found["strangeness"] = json!(judgement.score);
            found["abstains"] = json!(judgement.strange);
            found["reason"] = json!(judgement.reason);
        }
    }
    Ok(found)
}

fn show(found: &Value, voice: Voice) -> Result<()> {
    voice.object(found)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    let (image, class) = (text(&found["image"]), text(&found["class"]));
    let probability = number(&found["probability"]);
    voice.line(if found["abstains"] == true {
        format!(
            "{image}: unsure, for it is unlike the training images ({}); if anything, {class} (probability {probability:.3})",
            text(&found["reason"])
        )
    } else {
        format!("{image}: {class} (probability {probability:.3})")
    })?;
    for prototype in found["prototypes"].as_array().into_iter().flatten() {
        let from = prototype["from"].as_str();
        voice.line(format!(
            "  {} #{}  similarity {:.4}{}",
            text(&prototype["class"]),
            prototype["prototype"],
            number(&prototype["similarity"]),
            from.map_or_else(String::new, |from| format!("  ({from})")),
        ))?;
    }
    for concept in found["concepts"].as_array().into_iter().flatten() {
        if number(&concept["contribution"]) == 0.0 {
            continue;
        }
        voice.line(format!(
            "  concept {}  adds {:+.4} to the score of {class} ({:.0} % of what speaks for it)",
            concept["concept"],
            number(&concept["contribution"]),
            100.0 * number(&concept["share"])
        ))?;
    }
    Ok(())
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn largest(values: &[f32]) -> (usize, f32) {
    let best = values.iter().copied().enumerate();
    best.max_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((0, f32::NAN))
}
