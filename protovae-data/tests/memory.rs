//! Sets in memory, their views and splits.
#![allow(clippy::unwrap_used, clippy::expect_used)]

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
