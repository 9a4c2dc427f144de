//! One image with its explanation: the prediction, the evidence, the maps, in pictures and in words.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use image::RgbImage;
use protovae_core::ImageShape;
use protovae_core::model::{BoxModel, Region};
use protovae_core::plugin::{Explainer, Target};

use super::{
    ConceptEvidence, Contribution, Evidence, PrototypeChoice, PrototypeImages, has_concepts,
    largest, values,
};
use crate::check::check_images;
use crate::error::{Error, Result};
use crate::pictures::{
    Legend, Panel, PanelCell, PanelRow, RelevanceMaps, RelevanceScale, boxed, image_pictures,
};

/// Relevance of an image for one target.
#[derive(Debug, Clone)]
pub struct ExplainedTarget {
    /// A prototype, or a class for models without.
    pub target: Target,
    /// What the prototype adds to the prediction.
    pub contribution: Option<Contribution>,
    /// The decoded prototype, or the training image that it comes from ([`ExplainedImage::with_prototypes`]), `C·H·W` values; none
    /// without prototypes, or where neither is at hand.
    pub prototype: Option<Vec<f32>>,
    /// The part of that image that the prototype is, unless it is the whole.
    pub part: Option<Region>,
    /// Where the image is most similar to the prototype; none for models that do not compare patches.
    pub most_similar: Option<Region>,
    /// `C·H·W` values in units of the explainer.
    pub relevance: Vec<f32>,
}

/// An image, what a model takes it for, and why.
#[derive(Debug, Clone)]
pub struct ExplainedImage {
    /// The image's shape.
    pub shape: ImageShape,
    /// `C·H·W` values in `[-1, 1]`.
    pub image: Vec<f32>,
    /// The class that it is taken for.
    pub class: usize,
    /// Its probability.
    pub probability: f32,
    /// The image as the decoder makes it from the posterior mean; none without a decoder.
    pub reconstruction: Option<Vec<f32>>,
    /// What the prediction rests on; none for models without prototypes.
    pub evidence: Option<Evidence>,
    /// The concepts that it rests on; none for models without concepts.
    pub concepts: Option<ConceptEvidence>,
    /// The explained targets, as chosen.
    pub targets: Vec<ExplainedTarget>,
}

impl ExplainedImage {
    /// Explains image `[1, C, H, W]` by the chosen prototypes; by the predicted class if the model has none.
    ///
    /// # Errors
    /// Those of the explainer; [`Error::Shape`] for more or less than one image, [`Error::Core`] for one that the model does not take.
    pub fn new(
        model: &BoxModel,
        explainer: &dyn Explainer,
        image: Tensor<4>,
        choice: &PrototypeChoice,
    ) -> Result<Self> {
        let shape = image.dims();
        if shape[0] != 1 {
            return Err(Error::Shape {
                shape,
                reason: "one image is explained at a time",
            });
        }
        check_images(model, &image)?;
        let model = model.valid();
        let image = image.without_autodiff();
        let prediction = model.predict(image.clone());
        let probabilities = values(softmax(prediction.logits, 1));
        let class = largest(&probabilities);
        let bank = model.prototypes();
        let evidence = match bank {
            Some(_) => Evidence::of(&model, image.clone())?.into_iter().next(),
            None => None,
        };
        let concepts = match has_concepts(&model) {
            true => ConceptEvidence::of(&model, image.clone())?
                .into_iter()
                .next(),
            false => None,
        };
        let rows = evidence.as_ref().map(|evidence| choice.rows(evidence));
        let targets: Vec<Target> = match &rows {
            Some(rows) => rows.iter().copied().map(Target::Prototype).collect(),
            None => vec![Target::Class(class)],
        };
        let relevance = values(
            explainer
                .explain(&model, image.clone(), &targets)?
                .relevance,
        );
        let decoded = bank.and_then(|bank| model.decode(bank.vectors)).map(values);
        let shape = model.image_shape();
        let pixels = shape.channels * shape.height * shape.width;
        let maps = model.similarity_maps(image.clone()).map(|maps| {
            let [_, _, rows, columns] = maps.dims();
            (values(maps), [rows, columns])
        });
        let most_similar = |row: usize| {
            let (maps, size) = maps.as_ref()?;
            let cells = size[0] * size[1];
            let map = maps.get(row * cells..(row + 1) * cells)?;
            Some(Region::of_largest(map, *size, [shape.height, shape.width]))
        };
        let explained = targets
            .iter()
            .zip(relevance.chunks_exact(pixels.max(1)))
            .map(|(target, relevance)| {
                let row = match target {
                    Target::Prototype(row) => Some(*row),
                    _ => None,
                };
                let contribution = row.and_then(|row| {
                    let all = evidence.as_ref()?.contributions.iter();
                    all.copied().find(|each| each.prototype == row)
                });
                let prototype = row.and_then(|row| {
                    let decoded = decoded.as_ref()?.get(row * pixels..(row + 1) * pixels)?;
                    Some(decoded.to_vec())
                });
                ExplainedTarget {
                    target: *target,
                    contribution,
                    prototype,
                    part: None,
                    most_similar: row.and_then(most_similar),
                    relevance: relevance.to_vec(),
                }
            })
            .collect();
        let reconstruction = prediction
            .latents
            .and_then(|latents| model.decode(latents))
            .map(values);
        Ok(Self {
            shape: model.image_shape(),
            image: values(image),
            class,
            probability: probabilities.get(class).copied().unwrap_or(f32::NAN),
            reconstruction,
            evidence,
            concepts,
            targets: explained,
        })
    }

    /// Shows the targets' prototypes as the training images that they come from.
    #[must_use]
    pub fn with_prototypes(mut self, images: &PrototypeImages) -> Self {
        let (height, width) = (self.shape.height, self.shape.width);
        for target in &mut self.targets {
            let Target::Prototype(row) = target.target else {
                continue;
            };
            if let Some(place) = images.get(row) {
                let region = place.provenance.region;
                target.prototype = Some(place.image.clone());
                target.part = (!region.is_whole(height, width)).then_some(region);
            }
        }
        self
    }

    /// The prototype of a target, decoded or as the training image that it comes from, with a box around the part that it is.
    ///
    /// # Errors
    /// [`Error::Shape`] for images that are neither grey nor coloured.
    pub fn prototype_picture(
        &self,
        target: &ExplainedTarget,
        enlargement: usize,
    ) -> Result<Option<RgbImage>> {
        let Some(prototype) = &target.prototype else {
            return Ok(None);
        };
        let picture = self.picture(prototype, enlargement)?;
        Ok(Some(match target.part {
            Some(part) => boxed(&picture, part, enlargement),
            None => picture,
        }))
    }

    /// The image with a box where it is most similar to a target's prototype; none for models that do not compare patches.
    ///
    /// # Errors
    /// [`Error::Shape`] for images that are neither grey nor coloured.
    pub fn most_similar_picture(
        &self,
        target: &ExplainedTarget,
        enlargement: usize,
    ) -> Result<Option<RgbImage>> {
        let Some(region) = target.most_similar else {
            return Ok(None);
        };
        let picture = self.picture(&self.image, enlargement)?;
        Ok(Some(boxed(&picture, region, enlargement)))
    }

    fn dimensions(&self) -> [usize; 4] {
        [1, self.shape.channels, self.shape.height, self.shape.width]
    }

    /// An image of this shape as a picture.
    ///
    /// # Errors
    /// [`Error::Shape`] for other numbers of values, or images that are neither grey nor coloured.
    pub fn picture(&self, image: &[f32], enlargement: usize) -> Result<RgbImage> {
        let shape = self.dimensions();
        let fail = |reason| Error::Shape { shape, reason };
        if image.len() != shape.iter().product::<usize>() {
            return Err(fail("there are not as many values as the shape says"));
        }
        let data = burn::tensor::TensorData::new(image.to_vec(), shape);
        let tensor = Tensor::from_data(data, &burn::tensor::Device::flex());
        let picture = image_pictures(tensor, enlargement)?.into_iter().next();
        picture.ok_or_else(|| fail("there is nothing to draw"))
    }

    /// The relevance of each target alone and over the image.
    ///
    /// # Errors
    /// [`Error::Shape`] for images that are neither grey nor coloured.
    pub fn maps(&self, enlargement: usize) -> Result<Vec<[RgbImage; 2]>> {
        let [_, channels, height, width] = self.dimensions();
        let relevance: Vec<f32> = self
            .targets
            .iter()
            .flat_map(|target| target.relevance.iter().copied())
            .collect();
        let maps =
            RelevanceMaps::from_slice(&relevance, [self.targets.len(), channels, height, width])?;
        let scale = RelevanceScale::default();
        let alone = maps.pictures(&scale, enlargement)?;
        let over = maps.overlays(&self.image, self.dimensions(), &scale, enlargement)?;
        Ok(alone
            .into_iter()
            .zip(over)
            .map(|(alone, over)| [alone, over])
            .collect())
    }

    /// The name of a target, such as `7 #2`.
    pub fn name_of(&self, target: &ExplainedTarget, class_names: &[String]) -> String {
        match (&target.contribution, target.target) {
            (Some(each), _) => format!("{} #{}", name(class_names, each.class), each.index),
            (None, Target::Class(class)) => name(class_names, class),
            (None, Target::Prototype(row)) => format!("prototype {row}"),
            (None, _) => String::new(),
        }
    }

    /// Everything in one picture: the image and its reconstruction, then a row for each target with the decoded prototype, the
    /// relevance alone, and the relevance over the image.
    ///
    /// # Errors
    /// [`Error::Shape`] for images that are neither grey nor coloured.
    pub fn panel(&self, title: &str, class_names: &[String], enlargement: usize) -> Result<Panel> {
        let mut first = vec![PanelCell::new(
            self.picture(&self.image, enlargement)?,
            "the image",
        )];
        if let Some(reconstruction) = &self.reconstruction {
            first.push(PanelCell::new(
                self.picture(reconstruction, enlargement)?,
                "reconstructed",
            ));
        }
        let mut rows = vec![PanelRow {
            label: String::new(),
            cells: first,
        }];
        for (target, maps) in self.targets.iter().zip(self.maps(enlargement)?) {
            rows.push(PanelRow {
                label: self.name_of(target, class_names),
                cells: self.cells(target, maps, enlargement)?,
            });
        }
        Ok(Panel {
            title: title.to_string(),
            headings: Vec::new(),
            rows,
            legend: Some(Legend::default()),
        })
    }

    /// The prototype of a target if there is a picture of it, its relevance alone (or, for models that compare patches, the image
    /// with a box where it is most similar), and over the image.
    fn cells(
        &self,
        target: &ExplainedTarget,
        [alone, over]: [RgbImage; 2],
        enlargement: usize,
    ) -> Result<Vec<PanelCell>> {
        let said = |text: &dyn Fn(&Contribution) -> String| {
            target.contribution.as_ref().map_or_else(String::new, text)
        };
        let mut cells = Vec::new();
        if let Some(picture) = self.prototype_picture(target, enlargement)? {
            let caption = said(&|each| format!("similarity {:.2}", each.similarity));
            cells.push(PanelCell::new(picture, caption));
        }
        match self.most_similar_picture(target, enlargement)? {
            Some(picture) => {
                let caption = said(&|each| format!("{:.2} points", each.contribution));
                cells.push(PanelCell::new(picture, caption));
            }
            None => cells.push(PanelCell::new(alone, "relevance")),
        }
        let caption = said(&|each| format!("{:.0} % of evidence", 100.0 * each.share));
        cells.push(PanelCell::new(over, caption));
        Ok(cells)
    }

    /// Several images in one picture, a row each: the image, then for each target the decoded prototype, the relevance alone,
    /// and the relevance over the image (Figure 9). The row's label is the class that the image is taken for.
    ///
    /// # Errors
    /// [`Error::Shape`] for images that are neither grey nor coloured, or of different sizes.
    pub fn sheet(images: &[Self], class_names: &[String], enlargement: usize) -> Result<Panel> {
        let mut rows = Vec::with_capacity(images.len());
        for each in images {
            let shown = each.picture(&each.image, enlargement)?;
            let caption = format!("probability {:.2}", each.probability);
            let mut cells = vec![PanelCell::new(shown, caption)];
            for (target, maps) in each.targets.iter().zip(each.maps(enlargement)?) {
                let mut more = each.cells(target, maps, enlargement)?;
                // The row is about the image, so the prototype's name stands below it, and the similarity below the map.
                if let ([prototype, alone, ..], Some(_)) = (more.as_mut_slice(), &target.prototype)
                {
                    alone.caption = std::mem::take(&mut prototype.caption);
                    prototype.caption = each.name_of(target, class_names);
                }
                cells.extend(more);
            }
            rows.push(PanelRow {
                label: name(class_names, each.class),
                cells,
            });
        }
        Ok(Panel {
            title: String::new(),
            headings: Vec::new(),
            rows,
            legend: Some(Legend::default()),
        })
    }

    /// What the prediction rests on, in sentences.
    pub fn words(&self, class_names: &[String]) -> Vec<String> {
        let mut words = vec![format!(
            "Taken for {} with probability {:.3}.",
            name(class_names, self.class),
            self.probability
        )];
        if let Some(concepts) = &self.concepts {
            words.extend(concepts.words(|class| name(class_names, class)));
        }
        let Some(evidence) = &self.evidence else {
            return words;
        };
        let prototype =
            |each: &Contribution| format!("{} #{}", name(class_names, each.class), each.index);
        let positive: Vec<&Contribution> = evidence
            .contributions
            .iter()
            .filter(|each| each.share > 0.0)
            .collect();
        if let Some(first) = positive.first() {
            let more: Vec<String> = positive[1..]
                .iter()
                .take(2)
                .filter(|each| each.share >= 0.05)
                .map(|each| format!("{} ({:.0} %)", prototype(each), 100.0 * each.share))
                .collect();
            let more = match more.as_slice() {
                [] => String::new(),
                more => format!("; then {}", more.join(" and ")),
            };
            words.push(format!(
                "It rests most on prototype {} with {:.0} % of what speaks for the class{more}.",
                prototype(first),
                100.0 * first.share
            ));
        }
        if let Some(against) = evidence
            .contributions
            .last()
            .filter(|each| each.contribution < 0.0)
        {
            words.push(format!(
                "Most against it speaks prototype {} (similarity {:.2}).",
                prototype(against),
                against.similarity
            ));
        }
        words.push(format!(
            "Next comes {} with probability {:.3}.",
            name(class_names, evidence.runner_up),
            evidence.runner_up_probability
        ));
        words
    }
}

fn name(class_names: &[String], class: usize) -> String {
    class_names
        .get(class)
        .cloned()
        .unwrap_or_else(|| class.to_string())
}
