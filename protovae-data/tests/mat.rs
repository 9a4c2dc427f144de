//! The reader of MATLAB's files: what SciPy wrote, round trips, and files that lie. The files come from
//! `fuzz/make_corpus.py`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;
use protovae_data::DataError;
use protovae_data::mat::{Array, Class, parse_arrays, read_arrays};

fn name() -> &'static Path {
    Path::new("made-up")
}

fn corpus(file: &str) -> Option<Vec<u8>> {
    // As cargo says when it runs the test: with a shared target directory it may have been built in another checkout.
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let folder = package.join("fuzz/corpus/mat");
    // A published crate comes without its fuzzer.
    folder
        .exists()
        .then(|| fs::read(folder.join(file)).unwrap())
}

fn word(number: u32, big_endian: bool) -> [u8; 4] {
    if big_endian {
        number.to_be_bytes()
    } else {
        number.to_le_bytes()
    }
}

fn element(kind: u32, data: &[u8], big_endian: bool) -> Vec<u8> {
    let mut bytes = word(kind, big_endian).to_vec();
    bytes.extend(word(data.len() as u32, big_endian));
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// As [`element`], with up to four bytes in the head itself.
fn small(kind: u32, data: &[u8], big_endian: bool) -> Vec<u8> {
    if data.len() > 4 || data.is_empty() {
        return element(kind, data, big_endian);
    }
    let mut bytes = word((data.len() as u32) << 16 | kind, big_endian).to_vec();
    bytes.extend(data);
    bytes.resize(8, 0);
    bytes
}

fn array(
    name: &str,
    class: u32,
    sides: &[u32],
    kind: u32,
    data: &[u8],
    big_endian: bool,
) -> Vec<u8> {
    let flags = [word(class, big_endian), [0; 4]].concat();
    let sides: Vec<u8> = sides
        .iter()
        .flat_map(|&side| word(side, big_endian))
        .collect();
    let parts = [
        element(6, &flags, big_endian),
        element(5, &sides, big_endian),
        small(1, name.as_bytes(), big_endian),
        small(kind, data, big_endian),
    ]
    .concat();
    element(14, &parts, big_endian)
}

fn packed(bytes: &[u8], big_endian: bool) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    let data = encoder.finish().unwrap();
    [
        word(15, big_endian).to_vec(),
        word(data.len() as u32, big_endian).to_vec(),
        data,
    ]
    .concat()
}

fn mat(elements: &[Vec<u8>], big_endian: bool) -> Vec<u8> {
    let mut bytes = b"MATLAB 5.0 MAT-file".to_vec();
    bytes.resize(124, b' ');
    bytes.extend(if big_endian {
        *b"\x01\x00MI"
    } else {
        *b"\x00\x01IM"
    });
    bytes.extend(elements.concat());
    bytes
}

fn values(array: &Array) -> Vec<f64> {
    array.values().collect()
}

/// The values are those that `make_corpus.py` gave to `scipy.io.savemat`, in Fortran's order.
#[test]
fn every_class_as_scipy_wrote_it() {
    for file in ["good-kinds-plain", "good-kinds-packed"] {
        let Some(bytes) = corpus(file) else {
            return;
        };
        let arrays = parse_arrays(&bytes, name(), None).unwrap();
        let expected: [(&str, Class, &[usize], &[f64]); 10] = [
            (
                "double",
                Class::Double,
                &[2, 3],
                &[1.5, 1e300, -2.0, 4.0, 0.0, 5.0],
            ),
            ("single", Class::Single, &[2, 1], &[1.5, -2.0]),
            ("i1", Class::Int8, &[1, 3], &[-128.0, 127.0, 0.0]),
            ("i2", Class::Int16, &[1, 2], &[-32768.0, 32767.0]),
            ("u2", Class::Uint16, &[1, 2], &[65535.0, 1.0]),
            (
                "i4",
                Class::Int32,
                &[1, 2],
                &[-2_147_483_648.0, 2_147_483_647.0],
            ),
            ("u4", Class::Uint32, &[1, 1], &[4_294_967_295.0]),
            (
                "i8",
                Class::Int64,
                &[1, 2],
                &[-9_007_199_254_740_992.0, 7.0],
            ),
            ("u8", Class::Uint64, &[1, 1], &[9_007_199_254_740_992.0]),
            ("empty", Class::Double, &[0, 3], &[]),
        ];
        assert_eq!(arrays.len(), 11);
        for (name, class, dimensions, numbers) in expected {
            let array = arrays.iter().find(|array| array.name == name).unwrap();
            assert_eq!(
                (array.class, array.dimensions.as_slice()),
                (class, dimensions),
                "{name}"
            );
            assert_eq!(values(array), numbers, "{name}");
            assert_eq!(array.is_empty(), name == "empty");
        }
        // np.arange(24).reshape(2, 3, 4): the value at [i, j, k] is 12 i + 4 j + k.
        let cube = arrays.into_iter().find(|array| array.name == "u1").unwrap();
        assert_eq!(cube.dimensions, [2, 3, 4]);
        let bytes = cube.into_bytes(name()).unwrap();
        for (at, byte) in bytes.into_iter().enumerate() {
            let (i, j, k) = (at % 2, at / 2 % 3, at / 6);
            assert_eq!(usize::from(byte), 12 * i + 4 * j + k);
        }
    }
}

#[test]
fn variables_that_are_no_real_arrays_are_passed_over() {
    for file in ["good-passed-over-plain", "good-passed-over-packed"] {
        let Some(bytes) = corpus(file) else {
            return;
        };
        let arrays = parse_arrays(&bytes, name(), None).unwrap();
        assert_eq!(arrays.len(), 1);
        assert_eq!(
            (arrays[0].name.as_str(), values(&arrays[0])),
            ("last", vec![42.0])
        );
        for variable in ["text", "cell", "struct", "complex", "sparse"] {
            let error = parse_arrays(&bytes, name(), Some(&[variable])).unwrap_err();
            assert!(
                error.to_string().contains(&format!("`{variable}`")),
                "{error}"
            );
        }
        assert!(
            parse_arrays(&bytes, name(), Some(&["absent"]))
                .unwrap()
                .is_empty()
        );
    }
}

#[test]
fn hdf5_files_are_told_apart() {
    for file in ["bad-version-7.3", "bad-hdf5"] {
        let Some(bytes) = corpus(file) else {
            return;
        };
        let error = parse_arrays(&bytes, name(), None).unwrap_err();
        assert!(matches!(error, DataError::Unsupported { .. }), "{error}");
        let message = error.to_string();
        for part in ["made-up", "7.3", "HDF5", "-v7"] {
            assert!(message.contains(part), "{message}");
        }
    }
}

#[test]
fn a_file_on_disk_and_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mat");
    fs::write(
        &path,
        mat(&[array("X", 9, &[2, 1], 2, &[3, 4], false)], false),
    )
    .unwrap();
    assert_eq!(values(&read_arrays(&path, None).unwrap()[0]), [3.0, 4.0]);
    assert!(read_arrays(folder.path(), None).is_err());
    let absent = folder.path().join("absent.mat");
    assert!(
        read_arrays(&absent, None)
            .unwrap_err()
            .to_string()
            .contains("absent.mat")
    );
}

#[test]
fn values_that_are_no_bytes() {
    for (kind, data) in [
        (3, vec![0, 1]),
        (1, vec![0xff]),
        (7, 0.5f32.to_le_bytes().to_vec()),
        (9, f64::NAN.to_le_bytes().to_vec()),
    ] {
        let file = mat(&[array("X", 9, &[1, 1], kind, &data, false)], false);
        let found = parse_arrays(&file, name(), None).unwrap().remove(0);
        let error = found.into_bytes(name()).unwrap_err().to_string();
        assert!(
            error.contains("`X`") && error.contains("0 to 255"),
            "{error}"
        );
    }
}

#[test]
fn a_bomb_stops_at_its_declared_length() {
    // 64 MiB of zeros behind an array of four bytes; and an array that declares them, packed a thousandfold, but not more.
    let one = array("X", 9, &[2, 2], 2, &[1, 2, 3, 4], false);
    let bomb = mat(&[packed(&[one, vec![0; 64 << 20]].concat(), false)], false);
    let error = parse_arrays(&bomb, name(), None).unwrap_err();
    assert!(error.to_string().contains("goes on"), "{error}");
    let mut lie = array("X", 9, &[1 << 15, 1 << 15], 2, &[0; 8], false);
    let length = 56 + (1u32 << 30);
    lie[4..8].copy_from_slice(&length.to_le_bytes());
    let error = parse_arrays(&mat(&[packed(&lie, false)], false), name(), None).unwrap_err();
    assert!(error.to_string().contains("can follow"), "{error}");
}

#[test]
fn what_is_not_wanted_may_be_damaged() {
    // Noise, long enough that its end is not reached on the way to its name.
    let noise: Vec<u8> = (0..500_000u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ (at % 251) as u8)
        .collect();
    let mut other = packed(&array("other", 9, &[1000, 500], 2, &noise, false), false);
    let last = other.len() - 1;
    other[last] ^= 0xff;
    let file = mat(&[other, array("X", 9, &[1, 1], 2, &[5], false)], false);
    assert!(parse_arrays(&file, name(), None).is_err());
    assert_eq!(parse_arrays(&file, name(), Some(&["X"])).unwrap().len(), 1);
}

proptest! {
    #[test]
    fn arrays_come_back(
        sides in prop::collection::vec(0u32..5, 2..5),
        first: i32,
        storage in prop::sample::select(vec![1u32, 2, 3, 4, 5, 6, 7, 9, 12, 13]),
        big_endian: bool,
        pack: bool,
        letters in "[a-zA-Z][a-zA-Z0-9_]{0,12}",
    ) {
        let count: u32 = sides.iter().product();
        let mut data = Vec::new();
        let mut expected = Vec::new();
        for at in 0..count {
            let number = i64::from(first.wrapping_add(at as i32));
            macro_rules! put {
                ($kind:ty) => {{
                    let number = number as $kind;
                    expected.push(number as f64);
                    data.extend(if big_endian { number.to_be_bytes() } else { number.to_le_bytes() });
                }};
            }
            match storage {
                1 => put!(i8),
                2 => put!(u8),
                3 => put!(i16),
                4 => put!(u16),
                5 => put!(i32),
                6 => put!(u32),
                7 => put!(f32),
                9 => put!(f64),
                12 => put!(i64),
                _ => put!(u64),
            }
        }
        let variable = array(&letters, 6, &sides, storage, &data, big_endian);
        let variable = if pack { packed(&variable, big_endian) } else { variable };
        let after = array("after", 9, &[1, 1], 2, &[1], big_endian);
        let file = mat(&[variable, after], big_endian);
        let found = parse_arrays(&file, name(), None);
        prop_assume!(letters != "after");
        let found = found.unwrap();
        prop_assert_eq!(found.len(), 2);
        prop_assert_eq!(&found[0].name, &letters);
        prop_assert_eq!(found[0].class, Class::Double);
        let sides: Vec<usize> = sides.iter().map(|&side| side as usize).collect();
        prop_assert_eq!(&found[0].dimensions, &sides);
        prop_assert_eq!(values(&found[0]), expected);
        prop_assert_eq!(values(&found[1]), [1.0]);
    }

    #[test]
    fn truncated_files_are_errors(pack: bool, cut in 0.0f64..1.0) {
        let variable = array("X", 9, &[3, 7], 2, &[5; 21], false);
        let whole = mat(&[if pack { packed(&variable, false) } else { variable }], false);
        // At the header's end alone, what is left is a valid file without variables.
        let keep = (whole.len() as f64 * cut) as usize;
        prop_assume!(keep != 128);
        prop_assert!(parse_arrays(&whole[..keep], name(), None).is_err());
    }
}
