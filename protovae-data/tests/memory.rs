//! Sets in memory, their views and splits.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use protovae_data::{DataSplits, Dataset, ImageShape, InMemoryDataset};

fn labels(set: &dyn Dataset) -> Vec<usize> {
    (0..set.len())
        .map(|index| set.label(index).unwrap())
        .collect()
}

#[test]
fn splits_must_fit_each_other() {
    let set = |width, label| {
        InMemoryDataset::new(ImageShape::new(1, 1, width), vec![0; width], vec![label]).unwrap()
    };
    let classes = || vec!["a".to_string(), "b".to_string()];
    assert!(DataSplits::from_memory("x", classes(), set(2, 0), set(2, 1)).is_ok());
    assert!(DataSplits::from_memory("x", classes(), set(2, 0), set(3, 1)).is_err());
    assert!(DataSplits::from_memory("x", classes(), set(2, 0), set(2, 2)).is_err());
    let empty = set(2, 0).view(&[]).unwrap();
    assert!(DataSplits::from_memory("x", classes(), set(2, 0), empty).is_err());
}

#[test]
fn sets_in_memory_check_their_input() {
    let shape = ImageShape::new(1, 2, 2);
    assert!(InMemoryDataset::new(shape, vec![0; 7], vec![0, 1]).is_err());
    assert!(InMemoryDataset::new(ImageShape::new(0, 2, 2), vec![], vec![]).is_err());
    let huge = ImageShape::new(usize::MAX, 2, 2);
    assert!(InMemoryDataset::new(huge, vec![0; 7], vec![0, 1]).is_err());
    let set = InMemoryDataset::new(shape, (0..8).collect(), vec![5, 6]).unwrap();
    assert!(set.image(2, &mut [0.0; 4]).is_err());
    assert!(set.image(0, &mut [0.0; 3]).is_err());
    assert!(set.label(2).is_err());
    assert!(set.view(&[0, 2]).is_err());
    assert!(set.range(1..3).is_err());
    let turned = set.view(&[1, 0, 1]).unwrap();
    assert_eq!(labels(&turned), [6, 5, 6]);
    let again = turned.range(1..2).unwrap();
    assert_eq!(
        (again.label(0).unwrap(), again.bytes(0).unwrap()),
        (5, &[0, 1, 2, 3][..])
    );
}

#[test]
fn splits_of_any_kind_are_checked_alike() {
    let set = |width, label| -> Arc<dyn Dataset> {
        let shape = ImageShape::new(1, 1, width);
        Arc::new(InMemoryDataset::new(shape, vec![0; width], vec![label]).unwrap())
    };
    let join = |train, test| {
        let classes = vec!["a".to_string(), "b".to_string()];
        DataSplits::from_datasets("x", classes, train, test, "digest".to_string())
    };
    let splits = join(set(2, 0), set(2, 1)).unwrap();
    assert_eq!(
        (splits.digest.as_str(), splits.shape),
        ("digest", ImageShape::new(1, 1, 2))
    );
    assert!(
        join(set(2, 0), set(3, 1))
            .unwrap_err()
            .to_string()
            .contains("1×1×3")
    );
    assert!(
        join(set(2, 2), set(2, 1))
            .unwrap_err()
            .to_string()
            .contains("x (train)")
    );
    let empty = InMemoryDataset::new(ImageShape::new(1, 1, 2), vec![], vec![]).unwrap();
    let error = join(set(2, 0), Arc::new(empty)).unwrap_err();
    assert!(error.to_string().contains("no test images"), "{error}");
}
