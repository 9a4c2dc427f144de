//! Batches fit the model, or are refused.

use burn::tensor::Device;
use protovae_core::random::Purpose;
use protovae_core::train::{Batch, HostBatch, InMemorySource, evaluate};
use protovae_core::{Error, ImageShape};

use crate::common::flat;
use crate::support::{CLASSES, IMAGE, batch, trained_model};

#[test]
fn batches_that_do_not_fit_are_refused() {
    let device = Device::flex();
    let make = |host: HostBatch| Batch::new(host, IMAGE, CLASSES, 1, 2, &device);
    let good = batch(4, 1);
    let made = make(good.clone()).unwrap();
    assert_eq!(made.images.dims(), [4, 1, 2, 3]);
    assert_eq!(flat(made.images.clone()), good.images);
    assert_eq!(
        made.labels
            .clone()
            .into_data()
            .iter::<i64>()
            .collect::<Vec<_>>(),
        [1, 0, 1, 0]
    );
    // Noise is of the sample, not of its place.
    let swapped = HostBatch {
        indices: good.indices.iter().rev().copied().collect(),
        ..good.clone()
    };
    let noise = flat(made.normal_noise(2, Purpose::Posterior));
    let swapped = flat(make(swapped).unwrap().normal_noise(2, Purpose::Posterior));
    assert_eq!(noise[..2], swapped[6..]);

    let shape = ImageShape::new(1, 3, 2);
    let error = make(HostBatch {
        shape,
        ..good.clone()
    })
    .unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, Error::ImageShape { .. }), "{said}");
    assert!(said.contains("1×3×2") && said.contains("1×2×3"), "{said}");
    let mut fewer = good.clone();
    fewer.images.pop();
    let mut more = good.clone();
    more.images.push(0.0);
    let mut unnamed = good.clone();
    unnamed.indices.pop();
    let mut unlabelled = good.clone();
    unlabelled.labels.pop();
    let nothing = HostBatch {
        images: Vec::new(),
        labels: Vec::new(),
        indices: Vec::new(),
        shape: IMAGE,
    };
    let mut strange = good.clone();
    strange.labels[2] = CLASSES;
    let mut huge = good;
    huge.labels[0] = usize::MAX;
    for host in [fewer, more, unnamed, unlabelled, nothing, strange, huge] {
        let error = make(host).unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error}");
    }
}

#[test]
fn training_on_what_does_not_fit_is_an_error() {
    let wrong = HostBatch {
        images: vec![0.0; 8],
        labels: vec![0, 1],
        indices: vec![0, 1],
        shape: ImageShape::new(1, 2, 2),
    };
    let source = InMemorySource::new(vec![wrong]);
    let result = evaluate(&trained_model(), &source, None, &Device::flex());
    assert!(
        matches!(result, Err(Error::ImageShape { .. })),
        "{result:?}"
    );
}
