//! Views of models whose prototypes come from training images: ProtoPNet's are patches, KMEx's whole images.

#![allow(clippy::unwrap_used, missing_docs)]

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use protovae_backbones as _;
use protovae_core::ImageShape;
use protovae_core::model::{BoxModel, EpochDone, ModelConfig, ModelSpec, Region};
use protovae_core::plugin::Target;
use protovae_core::random::Initializer;
use protovae_core::train::{HostBatch, InMemorySource};
use protovae_explain::explainers::{named, suited};
use protovae_explain::pictures::image_pictures;
use protovae_explain::views::{
    Evidence, ExplainedImage, LatentTable, Neighbours, PrototypeChoice, PrototypeImages,
    StrangenessDetector, Usage,
};

const SHAPE: ImageShape = ImageShape::new(1, 8, 8);
const COUNT: usize = 12;

const PATCHES: &str = r#"{"type": "protopnet", "prototypes_per_class": 2, "channels": 5,
    "encoder": {"type": "conv-pool", "widths": [4]}}"#;
const WHOLE: &str = r#"{"type": "kmex", "prototypes_per_class": 2, "latent_dimensions": 4,
    "encoder": {"type": "conv-pool", "widths": [4]}}"#;

fn labels() -> Vec<usize> {
    (0..COUNT).map(|index| index % 3).collect()
}

fn pixels() -> Vec<f32> {
    let value = |index: usize| ((index * 7919 + 13) % 201) as f32 / 100.0 - 1.0;
    (0..COUNT * SHAPE.values()).map(value).collect()
}

fn images(rows: &[usize]) -> protovae_explain::Result<Tensor<4>> {
    let all = pixels();
    let each = rows
        .iter()
        .flat_map(|row| all[row * 64..(row + 1) * 64].to_vec());
    let data = TensorData::new(each.collect::<Vec<f32>>(), [rows.len(), 1, 8, 8]);
    Ok(Tensor::from_data(data, &Device::flex()))
}

/// A model after the end of its last epoch.
fn model(recipe: &str) -> BoxModel {
    let config: Box<dyn ModelConfig> = serde_json::from_str(recipe).unwrap();
    let spec = ModelSpec {
        image: SHAPE,
        classes: 3,
    };
    let device = Device::flex();
    let mut init = Initializer::new(1, &device.clone().autodiff());
    let fresh = config.build(&spec, &mut init).unwrap();
    let source = InMemorySource::new(vec![HostBatch {
        images: pixels(),
        labels: labels(),
        indices: (0..COUNT as u64).collect(),
        shape: SHAPE,
    }]);
    let done = EpochDone {
        epoch: 0,
        epochs: 1,
        seed: 1,
        images: &source,
        max_batches: None,
        device: &device,
    };
    fresh.after_epoch(&done).unwrap().unwrap().valid()
}

fn table(model: &BoxModel) -> LatentTable {
    let all: Vec<usize> = (0..COUNT).collect();
    let batch = (images(&all).unwrap(), labels());
    LatentTable::new(model, [Ok::<_, protovae_core::Error>(batch)]).unwrap()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[test]
fn prototypes_are_shown_as_the_images_they_come_from() {
    for (recipe, patches) in [(PATCHES, true), (WHOLE, false)] {
        let model = model(recipe);
        let shown = PrototypeImages::of(&model, COUNT, &|rows| images(rows))
            .unwrap()
            .unwrap();
        let mut parts = 0;
        for (row, place) in model.provenance().unwrap().into_iter().enumerate() {
            let place = place.unwrap();
            let sample = place.sample as usize;
            // The region of a patch may be all of so small an image.
            let is_part = !place.region.is_whole(8, 8);
            parts += usize::from(is_part);
            assert_eq!(
                shown.get(row).unwrap().image,
                values(images(&[sample]).unwrap())
            );
            assert!(
                shown
                    .words(row)
                    .starts_with(&format!("training image {sample}"))
            );
            assert_eq!(shown.words(row).contains("rows"), is_part);
            let whole = shown.picture(row, 4).unwrap().unwrap();
            let plain = image_pictures(images(&[sample]).unwrap(), 4)
                .unwrap()
                .remove(0);
            assert_eq!(whole == plain, !is_part);
            let part = shown.part(row, 4).unwrap();
            assert_eq!(part.is_some(), is_part);
            let Region {
                top,
                left,
                height,
                width,
            } = place.region;
            if let Some(part) = part {
                assert_eq!(part.dimensions(), (4 * width as u32, 4 * height as u32));
                let first = plain.get_pixel(4 * left as u32, 4 * top as u32);
                assert_eq!(part.get_pixel(0, 0), first);
            }
        }
        assert_eq!(parts > 0, patches);
        let sheet = shown.sheet().unwrap();
        // Two prototypes a class, each with its part beside it; 8 pixels become 32.
        let across = if patches { 4 } else { 2 };
        assert_eq!(sheet.dimensions(), (across * 36 + 4, 3 * 36 + 4));
    }
}

#[test]
fn images_of_other_data_are_refused() {
    let error = PrototypeImages::of(&model(PATCHES), 1, &|rows| images(rows)).unwrap_err();
    assert!(error.to_string().contains("other data"), "{error}");
}

#[test]
fn neighbours_usage_and_strangeness_go_by_similarity() {
    let model = model(PATCHES);
    let table = table(&model);
    let all: Vec<usize> = (0..COUNT).collect();
    let similarities = values(model.predict(images(&all).unwrap()).similarities.unwrap());
    assert_eq!(table.similarities, similarities);
    assert!(table.distances.is_empty() && table.means.is_empty());
    let neighbours = Neighbours::of(&table, 3);
    for (row, place) in model.provenance().unwrap().into_iter().enumerate() {
        // Nothing is more similar to a prototype than the image that it comes from.
        let first = neighbours.nearest[row][0];
        let best = similarities[place.unwrap().sample as usize * 6 + row];
        assert_eq!(first.similarity, Some(best));
        let figures = neighbours.nearest[row].iter().map(|each| each.similarity);
        assert!(figures.is_sorted_by(|a, b| a >= b));
        assert!(
            neighbours.farthest_of_class[row]
                .iter()
                .all(|each| each.label == row / 2)
        );
    }
    let usage = Usage::of(&table).unwrap();
    assert_eq!(usage.nearest_of_all.iter().sum::<u64>(), COUNT as u64);
    assert_eq!(usage.nearest_of_class.iter().sum::<u64>(), COUNT as u64);
    let detector = StrangenessDetector::of(&table, 0.1).unwrap();
    assert_eq!(detector.judge_all(&table).len(), COUNT);
    assert!(detector.judge(1.0, None).score > detector.judge(1e-3, None).score);
}

#[test]
fn a_prediction_is_explained_by_where_the_image_is_most_similar() {
    let model = model(PATCHES);
    assert_eq!(suited(&model), "similarity-map");
    let explainer = named("similarity-map").unwrap();
    let shown = PrototypeImages::of(&model, COUNT, &|rows| images(rows))
        .unwrap()
        .unwrap();
    let image = images(&[5]).unwrap();
    let explained = ExplainedImage::new(&model, &*explainer, image.clone(), &PrototypeChoice::All)
        .unwrap()
        .with_prototypes(&shown);
    let maps = values(model.similarity_maps(image).unwrap());
    assert_eq!(explained.targets.len(), 6);
    for target in &explained.targets {
        let Target::Prototype(row) = target.target else {
            panic!("{target:?}");
        };
        let map = &maps[row * 16..(row + 1) * 16];
        assert_eq!(
            target.most_similar,
            Some(Region::of_largest(map, [4, 4], [8, 8]))
        );
        assert_eq!(
            target.prototype.as_ref(),
            Some(&shown.get(row).unwrap().image)
        );
        let most = map.iter().copied().fold(f32::MIN, f32::max);
        let similarity = target.contribution.unwrap().similarity;
        assert!((most - similarity).abs() < 1e-5);
        let largest = target.relevance.iter().copied().fold(f32::MIN, f32::max);
        assert!(largest <= most + 1e-6);
    }
    let panel = explained.panel("title", &[], 4).unwrap();
    assert_eq!(panel.rows[1].cells.len(), 3);
}

#[test]
fn similarity_maps_keep_the_promises_of_explainers() {
    let model = model(PATCHES);
    let explainer = named("similarity-map").unwrap();
    protovae_core::conformance::explainer(&*explainer, &model).unwrap();
    let whole = self::model(WHOLE);
    assert_eq!(suited(&whole), "prp");
    let image = images(&[0]).unwrap();
    let error = explainer
        .explain(&whole, image, &[Target::Prototype(0)])
        .unwrap_err();
    assert!(
        error.to_string().contains("similarities of patches"),
        "{error}"
    );
}

#[test]
fn a_classifier_by_the_nearest_prototype_has_evidence_too() {
    let model = model(WHOLE);
    let all: Vec<usize> = (0..COUNT).collect();
    for evidence in Evidence::of(&model, images(&all).unwrap()).unwrap() {
        let [first, rest @ ..] = evidence.contributions.as_slice() else {
            panic!("{evidence:?}");
        };
        assert_eq!(
            (first.class, first.weight, first.share),
            (evidence.class, 1.0, 1.0)
        );
        assert!((first.contribution - evidence.logit).abs() < 1e-4);
        assert!(rest.iter().all(|each| each.contribution == 0.0));
    }
}
