//! Relevance propagation through an encoder.

use burn::tensor::Tensor;
use protovae_core::ImageShape;
use protovae_core::plugin::{BoxEncoder, LayerView};
use protovae_core::{Error, Result};

use super::Composite;
use super::canonise::canonise;
use super::prepare::{self, Passage, Step};
use super::propagate::propagate;

/// An encoder whose layers have their rules: relevance of latent dimensions becomes relevance of pixels.
///
/// Batch normalisation is made part of its neighbours once, when this is built; each call of [`prepare`](Self::prepare) is
/// one forward pass that serves any number of targets.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use protovae_backbones::encoders::PooledEncoderConfig;
/// use protovae_core::{ImageShape, plugin::{EncoderConfig, EncoderSpec}, random::Initializer};
/// use protovae_explain::relevance::{Composite, Propagator};
/// use burn::module::Module;
/// let (device, image) = (Device::flex(), ImageShape::new(1, 8, 8));
/// let recipe = PooledEncoderConfig { widths: vec![4, 8] };
/// let spec = EncoderSpec { image, latent_dimensions: 3 };
/// let encoder = recipe.build(&spec, &mut Initializer::new(0, &device))?.valid();
/// let propagator = Propagator::new(&encoder, image, &Composite::prp())?;
/// let prepared = propagator.prepare(Tensor::ones([2, 1, 8, 8], &device))?;
/// // Two images, and for each of them relevance that starts at each of the three latent dimensions.
/// let start = Tensor::<2>::eye(3, &device).unsqueeze_dim::<3>(0).repeat_dim(0, 2);
/// assert_eq!(prepared.relevance(start)?.dims(), [6, 1, 8, 8]);
/// # Ok::<(), protovae_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Propagator {
    steps: Vec<Step>,
    image: ImageShape,
    latent_dimensions: usize,
}

/// What one forward pass of a [`Propagator`] leaves behind.
#[derive(Debug, Clone)]
pub struct Prepared {
    passages: Vec<Passage>,
    mean: Tensor<2>,
    /// Outputs of the layers beyond the mean.
    beyond: usize,
    image: ImageShape,
}

impl Propagator {
    /// Canonises an encoder (as `valid()`) and decides the rule of each layer.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the encoder does not expose its layers, or they do not fit together or the images;
    /// [`Error::Config`] for a composite with impossible numbers.
    pub fn new(encoder: &BoxEncoder, image: ImageShape, composite: &Composite) -> Result<Self> {
        let name = encoder.type_name().rsplit("::").next();
        let views = encoder.layers().ok_or_else(|| Error::Unsupported {
            model: name.unwrap_or("encoder").to_string(),
            what: "list of layers (`Encoder::layers`), which relevance propagation walks; the gradient explainers do without",
        })?;
        Self::of_layers(views, image, composite)
    }

    /// As [`new`](Self::new), from the layers between an image and `[mean | log variance]`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_layers(
        mut views: Vec<LayerView>,
        image: ImageShape,
        composite: &Composite,
    ) -> Result<Self> {
        // Relevance of the log variance is never asked for: the half of the last layer that computes it is left out.
        let halved = match views.last_mut() {
            Some(LayerView::Linear { weight, bias }) => {
                let [_, outputs] = weight.dims();
                *weight = weight.clone().narrow(1, 0, outputs / 2);
                *bias = bias.clone().map(|bias| bias.narrow(0, 0, outputs / 2));
                true
            }
            _ => false,
        };
        let mut propagator = Self::of_network(views, image, composite)?;
        if !halved {
            propagator.latent_dimensions /= 2;
        }
        Ok(propagator)
    }

    /// From the layers of any network on images: what the others call mean and latent dimensions are all outputs of its last
    /// layer, such as logits.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use protovae_core::{ImageShape, plugin::LayerView};
    /// use protovae_explain::relevance::{Composite, Propagator};
    /// let device = Device::flex();
    /// let weight = Tensor::<2>::from_floats([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 1.0]], &device);
    /// let layers = vec![LayerView::Flatten, LayerView::Linear { weight, bias: None }];
    /// let rules = Composite::named("epsilon")?;
    /// let propagator = Propagator::of_network(layers, ImageShape::new(1, 2, 2), &rules)?;
    /// let prepared = propagator.prepare(Tensor::ones([1, 1, 2, 2], &device))?;
    /// // Relevance that starts at the first output, which is 3.
    /// let start = Tensor::<3>::from_floats([[[3.0, 0.0]]], &device);
    /// let pixels: Vec<f32> = prepared.relevance(start)?.into_data().iter::<f32>().collect();
    /// assert!((pixels[0] - 1.0).abs() < 1e-4 && (pixels[1] - 2.0).abs() < 1e-4 && pixels[2] == 0.0);
    /// # Ok::<(), protovae_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_network(
        layers: Vec<LayerView>,
        image: ImageShape,
        composite: &Composite,
    ) -> Result<Self> {
        composite.check()?;
        let shape = [image.channels, image.height, image.width];
        let canonical = canonise(&layers, shape, composite.normalization)
            .map_err(|reason| Error::config("model.encoder", reason))?;
        let (mut positive, mut first) = (false, true);
        Ok(Self {
            steps: prepare::steps(&canonical.layers, composite, &mut positive, &mut first),
            image,
            latent_dimensions: canonical.output.iter().product(),
        })
    }

    /// `L`.
    pub fn latent_dimensions(&self) -> usize {
        self.latent_dimensions
    }

    /// The posterior means `[N, L]` of images `[N, C, H, W]`, by the canonised layers.
    ///
    /// # Errors
    /// [`Error::Config`] if the images do not have the shape that the encoder takes.
    pub fn mean(&self, images: Tensor<4>) -> Result<Tensor<2>> {
        self.check(&images)?;
        let output = prepare::forward(&self.steps, images.flatten(1, 3));
        Ok(output.narrow(1, 0, self.latent_dimensions))
    }

    /// One forward pass for images `[N, C, H, W]`.
    ///
    /// # Errors
    /// [`Error::Config`] if the images do not have the shape that the encoder takes.
    pub fn prepare(&self, images: Tensor<4>) -> Result<Prepared> {
        self.check(&images)?;
        let (output, passages) = prepare::prepare(&self.steps, images.flatten(1, 3));
        let beyond = output.dims()[1] - self.latent_dimensions;
        Ok(Prepared {
            passages,
            mean: output.narrow(1, 0, self.latent_dimensions),
            beyond,
            image: self.image,
        })
    }

    fn check(&self, images: &Tensor<4>) -> Result<()> {
        let [samples, channels, height, width] = images.dims();
        let fits =
            [channels, height, width] == [self.image.channels, self.image.height, self.image.width];
        if samples > 0 && fits {
            return Ok(());
        }
        Err(Error::config(
            "images",
            format!(
                "expected [N, {}, {}, {}] with N at least 1, found {:?}",
                self.image.channels,
                self.image.height,
                self.image.width,
                images.dims()
            ),
        ))
    }
}

impl Prepared {
    /// The posterior means, `[N, L]`.
    pub fn mean(&self) -> Tensor<2> {
        self.mean.clone()
    }

    /// Relevance of pixels, `[N·T, C, H, W]`, for relevance of latent dimensions `[N, T, L]`: image `i` and target `t` at row
    /// `i·T + t`. It is linear in `start`.
    ///
    /// # Errors
    /// [`Error::Config`] if `start` does not have that shape.
    pub fn relevance(&self, start: Tensor<3>) -> Result<Tensor<4>> {
        let [samples, targets, width] = start.dims();
        let expected = self.mean.dims();
        if [samples, width] != expected || targets == 0 {
            return Err(Error::config(
                "start",
                format!(
                    "expected [{}, T, {}] with T at least 1, found {:?}",
                    expected[0],
                    expected[1],
                    start.dims()
                ),
            ));
        }
        let start = match self.beyond {
            0 => start,
            beyond => {
                let none = Tensor::zeros([samples, targets, beyond], &start.device());
                Tensor::cat(vec![start, none], 2)
            }
        };
        let ImageShape {
            channels,
            height,
            width,
            ..
        } = self.image;
        let pixels = propagate(&self.passages, start);
        Ok(pixels.reshape([samples * targets, channels, height, width]))
    }
}
