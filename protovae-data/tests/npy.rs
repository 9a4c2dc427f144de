//! The reader of NumPy's files: what NumPy wrote, and files that lie. The files come from `fuzz/make_corpus.py`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use protovae_data::DataError;
use protovae_data::npy::NpyReader;

fn name() -> &'static Path {
    Path::new("made-up")
}

fn corpus(file: &str) -> Option<Vec<u8>> {
    // As cargo says when it runs the test: with a shared target directory it may have been built in another checkout.
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let folder = package.join("fuzz/corpus/npy");
    // A published crate comes without its fuzzer.
    folder
        .exists()
        .then(|| fs::read(folder.join(file)).unwrap())
}

fn file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    let length = header.len() as u32;
    let digits = if version == 1 { 2 } else { 4 };
    bytes.extend(&length.to_le_bytes()[..digits]);
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn read(bytes: &[u8]) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let reader = NpyReader::from_bytes(bytes, name())?;
    Ok((reader.shape().to_vec(), reader.values()?))
}

/// `np.arange(3 * 784) % 251` as 3 × 784, and the like: see `make_corpus.py`.
#[test]
fn what_numpy_wrote() {
    let sketches: Vec<u8> = (0..3 * 784).map(|value| (value % 251) as u8).collect();
    for (file, shape, values) in [
        ("good-version-1", vec![3, 784], sketches.clone()),
        ("good-gzipped", vec![3, 784], sketches.clone()),
        ("good-version-2", vec![1, 784], sketches[..784].to_vec()),
        ("good-version-3", vec![1, 2, 3], vec![0, 1, 2, 3, 4, 5]),
        ("good-scalar", vec![], vec![7]),
        ("good-vector", vec![5], vec![0, 1, 2, 3, 4]),
        ("good-no-rows", vec![0, 784], vec![]),
        ("good-python-2", vec![2, 1], b"ab".to_vec()),
    ] {
        let Some(bytes) = corpus(file) else {
            return;
        };
        assert_eq!(read(&bytes).unwrap(), (shape, values), "{file}");
    }
}

#[test]
fn other_types_and_orders_are_named() {
    for (file, part) in [
        ("bad-float", "'<f8'"),
        ("bad-signed", "'|i1'"),
        ("bad-records", "no bytes"),
        ("bad-object", "'|O'"),
        ("bad-fortran", "Fortran"),
        ("bad-version", "9.0"),
        ("bad-magic", "NUMPY"),
        ("bad-extra-key", "`x`"),
        ("bad-twice", "twice"),
        ("bad-missing", "fortran_order"),
        ("bad-huge", "4294967296"),
        ("bad-no-tuple", "tuple"),
        ("bad-after", "goes on"),
    ] {
        let Some(bytes) = corpus(file) else {
            return;
        };
        let error = read(&bytes).unwrap_err().to_string();
        assert!(
            error.contains(part) && error.contains("made-up"),
            "{file}: {error}"
        );
    }
}

#[test]
fn a_header_declares_no_more_than_is_there() {
    for (sides, more) in [("(1, 4)", false), ("(4294967295,)", false), ("(2,)", true)] {
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {sides}, }}\n");
        let error = NpyReader::from_bytes(&file(1, &header, b"abc"), name()).unwrap_err();
        assert!(
            matches!(error, DataError::Length { found: 3, more: found, .. } if found == more),
            "{sides}: {error}"
        );
    }
}

#[test]
fn files_are_read_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cat.npy");
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2), }";
    fs::write(&path, file(1, header, b"abcdef")).unwrap();
    assert_eq!(
        NpyReader::open(&path).unwrap().first_rows(2).unwrap(),
        b"abcd"
    );
    assert_eq!(NpyReader::open(&path).unwrap().first_rows(0).unwrap(), b"");
    let error = NpyReader::open(&path).unwrap().first_rows(4).unwrap_err();
    assert!(
        matches!(error, DataError::IndexOutOfRange { index: 3, len: 3 }),
        "{error}"
    );
    assert!(NpyReader::open(folder.path()).is_err());
    assert!(
        NpyReader::open(&folder.path().join("absent.npy"))
            .unwrap_err()
            .to_string()
            .contains("absent")
    );
}

proptest! {
    #[test]
    fn values_come_back(
        sides in prop::collection::vec(0usize..5, 0..5),
        first: u8,
        version in 1u8..=3,
        spaces in "[ \n\t]{0,3}",
        order in Just(vec![0, 1, 2]).prop_shuffle(),
    ) {
        let count: usize = sides.iter().product();
        let data: Vec<u8> = (0..count).map(|value| first.wrapping_add(value as u8)).collect();
        let tuple = match sides.as_slice() {
            [one] => format!("({one},)"),
            all => format!("({})", all.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
        };
        let parts = [
            "'descr': '|u1'".to_string(),
            "\"fortran_order\" : False".to_string(),
            format!("'shape':{spaces}{tuple}"),
        ];
        let joined: Vec<&str> = order.iter().map(|&part: &usize| parts[part].as_str()).collect();
        let header = format!("{{{spaces}{}{spaces}}}{spaces}\n", joined.join(", "));
        let bytes = file(version, &header, &data);
        prop_assert_eq!(read(&bytes).unwrap(), (sides, data));
    }

    #[test]
    fn truncated_files_are_errors(cut in 0.0f64..1.0) {
        let whole = file(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }\n", b"abcdef");
        let keep = (whole.len() as f64 * cut) as usize;
        prop_assert!(read(&whole[..keep]).is_err());
    }
}
