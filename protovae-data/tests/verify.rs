//! The catalogue, and sets compared with it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::PathBuf;

use protovae_data::{
    DataError, DataSearch, DataSplits, ImageShape, InMemoryDataset, PublishedFile, PublishedSet,
    catalogue, known_types, published, verify, verify_splits,
};
use sha2::{Digest, Sha256};

#[test]
fn the_catalogue_is_consistent() {
    let names: Vec<&str> = catalogue().iter().map(|set| set.name).collect();
    assert!(names.is_sorted(), "{names:?}");
    for set in catalogue() {
        assert!(known_types().contains(&set.name), "{}", set.name);
        assert_eq!(published(set.name).unwrap(), set);
        for line in [set.title, set.homepage, set.citation, set.licence] {
            assert!(!line.is_empty() && !line.contains("  "), "{line}");
        }
        assert!(!set.by_hand.contains("  "), "{}", set.by_hand);
        assert_ne!(
            set.addresses.is_empty(),
            set.by_hand.is_empty(),
            "{}",
            set.name
        );
        for address in set.addresses {
            assert!(
                address.starts_with("http") && address.ends_with('/'),
                "{address}"
            );
        }
        let digests = set.files.iter().map(|file| file.sha256).chain(set.digest);
        for digest in digests {
            let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            assert!(
                digest.len() == 64 && digest.bytes().all(hexadecimal),
                "{digest}"
            );
        }
        // Other files than the published ones can only be told by their content.
        assert!(
            set.unpacked.is_empty() || set.digest.is_some(),
            "{}",
            set.name
        );
        assert!(!set.files.is_empty() && set.length() > 10_000_000);
        assert!(set.classes.len() > 1 && set.train > set.test);
    }
    // The files of sketches are a header of 80 bytes and rows of 784, at least 10,000 of them.
    for file in published("quickdraw").unwrap().files {
        assert_eq!((file.length - 80) % 784, 0, "{}", file.name);
        assert!((file.length - 80) / 784 > 10_000);
    }
    let json = serde_json::to_value(catalogue()).unwrap();
    assert_eq!(json[3]["files"][0]["length"], 9_912_422);
}

#[test]
fn unknown_names() {
    let error = published("minst").unwrap_err();
    assert!(matches!(error, DataError::Setting { key: "set", .. }));
    for set in catalogue() {
        assert!(error.to_string().contains(set.name), "{error}");
    }
    assert!(
        published("mnist-5k")
            .unwrap_err()
            .to_string()
            .contains("inside the program")
    );
    assert!(verify("minst", &DataSearch::default()).is_err());
}

fn splits(pixel: u8) -> DataSplits {
    let shape = ImageShape::new(1, 1, 1);
    let set = |pixel| InMemoryDataset::new(shape, vec![pixel, 2], vec![0, 1]).unwrap();
    let classes = vec!["a".to_string(), "b".to_string()];
    DataSplits::from_memory("made-up", classes, set(pixel), set(3)).unwrap()
}

fn made_up(digest: Option<&'static str>, files: &'static [PublishedFile]) -> PublishedSet {
    PublishedSet {
        name: "made-up",
        title: "",
        homepage: "",
        citation: "",
        licence: "",
        train: 2,
        test: 2,
        shape: ImageShape::new(1, 1, 1),
        classes: &["a", "b"],
        digest,
        files,
        addresses: &[],
        by_hand: "",
        unpacked: &[],
    }
}

fn wrong(set: &PublishedSet, splits: &DataSplits) -> Vec<String> {
    let report = verify_splits(set, splits).unwrap();
    let wrong: Vec<String> = report
        .checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| check.what.clone())
        .collect();
    assert!(!report.complete || wrong.is_empty());
    for check in &report.checks {
        assert_eq!(check.ok, check.expected == check.found);
    }
    wrong
}

#[test]
fn every_difference_is_reported() {
    let right = splits(1);
    let set = made_up(Some(right.digest.clone().leak()), &[]);
    assert!(verify_splits(&set, &right).unwrap().complete);
    assert_eq!(wrong(&set, &splits(0)), ["content"]);
    assert_eq!(
        wrong(&PublishedSet { train: 3, ..set }, &right),
        ["training images"]
    );
    assert_eq!(
        wrong(&PublishedSet { test: 1, ..set }, &right),
        ["test images"]
    );
    let shape = ImageShape::new(3, 1, 1);
    assert_eq!(wrong(&PublishedSet { shape, ..set }, &right), ["shape"]);
    let classes = &["b", "a"];
    assert_eq!(wrong(&PublishedSet { classes, ..set }, &right), ["classes"]);
    let json = serde_json::to_value(verify_splits(&set, &right).unwrap()).unwrap();
    assert_eq!(json["checks"][0]["expected"], "2");
}

#[test]
fn without_a_content_digest_the_files_count() {
    let sha256: String = Sha256::digest(b"data")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let file = PublishedFile {
        name: "a.bin",
        length: 4,
        sha256: sha256.leak(),
    };
    let set = made_up(None, vec![file].leak());
    let folder = tempfile::tempdir().unwrap();
    let mut splits = splits(1);
    splits.notes.push("a note.".to_string());
    let report = |splits: &DataSplits| verify_splits(&set, splits).unwrap();

    // Everything else is right, but nobody has seen the pixels.
    let blind = report(&splits);
    assert!(!blind.complete && blind.checks.iter().all(|check| check.ok));
    assert_eq!(blind.notes.len(), 2);
    assert!(blind.notes[1].contains("`a.bin`"), "{:?}", blind.notes);
    splits.folder = Some(folder.path().to_path_buf());
    assert!(!report(&splits).complete);

    let path = folder.path().join("a.bin");
    for (content, found) in [("dat", "3 bytes"), ("dada", "")] {
        fs::write(&path, content).unwrap();
        let report = report(&splits);
        let check = report.checks.last().unwrap();
        assert!(
            !report.complete && !check.ok && check.what == "a.bin",
            "{check:?}"
        );
        assert!(check.found.contains(found));
    }
    fs::write(&path, "data").unwrap();
    assert!(report(&splits).complete);
}

/// Only where `PROTOVAE_TEST_DATA` names a folder with the published files. The digests in the catalogue are those that
/// `independent_figures.py` computes.
#[test]
fn published_sets_are_recognised() {
    let Some(folder) = std::env::var_os("PROTOVAE_TEST_DATA") else {
        return;
    };
    let search = DataSearch::in_folder(PathBuf::from(folder));
    for kind in ["mnist", "fashion-mnist", "cifar-10"] {
        let report = verify(kind, &search).unwrap();
        assert!(report.complete, "{report:#?}");
        assert!(report.checks.iter().any(|check| check.what == "content"));
    }
    // Parts of other sets that lie there load, and are not taken for the whole.
    for kind in ["svhn", "quickdraw", "celeba"] {
        let set = published(kind).unwrap();
        let whole = search.destination(kind).is_some_and(|folder| {
            let length = |name| fs::metadata(folder.join(name)).map_or(0, |file| file.len());
            set.files
                .iter()
                .all(|file| length(file.name) == file.length)
        });
        match verify(kind, &search) {
            Ok(report) => assert_eq!(report.complete, whole, "{report:#?}"),
            Err(error) => assert!(matches!(error, DataError::NotFound { .. }), "{error}"),
        }
    }
}
