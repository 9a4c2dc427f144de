//! Zip archives, written by the crate `zip`, and such as lie.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Cursor, Write};
use std::path::Path;

use proptest::prelude::*;
use protovae_data::archive::Archive;
use protovae_data::{DataError, ImageShape, PictureDataset};
use std::sync::Arc;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn name() -> &'static Path {
    Path::new("made-up.zip")
}

fn options(deflate: bool) -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(if deflate {
        CompressionMethod::Deflated
    } else {
        CompressionMethod::Stored
    })
}

fn zip(members: &[(&str, &[u8], bool)], comment: &str) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.set_comment(comment).unwrap();
    for (name, bytes, deflate) in members {
        writer.start_file(*name, options(*deflate)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn open(bytes: &[u8]) -> Result<Archive, DataError> {
    Archive::from_bytes(bytes.to_vec(), name())
}

/// Writes `new` at `offset` behind the last place of a signature.
fn patch(bytes: &[u8], signature: &[u8; 4], offset: usize, new: &[u8]) -> Vec<u8> {
    let at = bytes
        .windows(4)
        .rposition(|window| window == signature)
        .unwrap();
    let mut bytes = bytes.to_vec();
    bytes[at + offset..at + offset + new.len()].copy_from_slice(new);
    bytes
}

const CENTRAL: &[u8; 4] = b"PK\x01\x02";
const LOCAL: &[u8; 4] = b"PK\x03\x04";
const END: &[u8; 4] = b"PK\x05\x06";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn members_come_back(
        members in prop::collection::btree_map("[a-zä/]{0,3}[a-z]", (prop::collection::vec(any::<u8>(), 0..300), any::<bool>()), 0..8),
        comment in "[PK\u{5}\u{6}a-z]{0,40}",
    ) {
        // The writer takes a leading slash away, so that such names do not come back.
        let members: Vec<_> = members.iter().filter(|(name, _)| !name.starts_with('/')).collect();
        let list: Vec<(&str, &[u8], bool)> =
            members.iter().map(|(name, (bytes, deflate))| (name.as_str(), &bytes[..], *deflate)).collect();
        let archive = open(&zip(&list, &comment)).unwrap();
        prop_assert_eq!(archive.len(), list.len());
        for (name, bytes, _) in list {
            let index = archive.find(name).unwrap();
            prop_assert_eq!(archive.name(index), Some(name));
            prop_assert_eq!(archive.declared_length(index), Some(bytes.len() as u64));
            prop_assert_eq!(archive.read(index).unwrap(), bytes);
        }
    }

    #[test]
    fn damage_is_noticed_or_harmless(
        at in any::<prop::sample::Index>(), flip in 1u8.., cut in prop::option::of(any::<prop::sample::Index>()), deflate: bool,
    ) {
        let members: [(&str, &[u8], bool); 2] = [("a.jpg", &[7; 500], deflate), ("b.jpg", b"some other bytes", deflate)];
        let whole = zip(&members, "");
        let mut bytes = whole.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
            prop_assert!(open(&bytes).is_err());
        }
        if let Ok(archive) = open(&bytes) {
            for index in 0..archive.len() {
                // Whatever is read has the checksum of one of the members.
                if let Ok(read) = archive.read(index) {
                    prop_assert!(members.iter().any(|(_, bytes, _)| *bytes == read), "{}", at);
                }
            }
        }
    }
}

#[test]
fn zip64_and_folders() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer
        .add_directory("images/", SimpleFileOptions::default())
        .unwrap();
    writer
        .start_file("images/large.bin", options(true).large_file(true))
        .unwrap();
    writer.write_all(&[3; 1000]).unwrap();
    let bytes = writer.finish().unwrap().into_inner();
    let archive = open(&bytes).unwrap();
    assert_eq!((archive.len(), archive.is_empty()), (1, false));
    assert_eq!(archive.read(0).unwrap(), [3; 1000]);
}

#[test]
fn more_members_than_16_bits_count() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for number in 0..70_000 {
        writer
            .start_file(format!("{number:06}.jpg"), options(false))
            .unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    let archive = open(&bytes).unwrap();
    assert_eq!(archive.len(), 70_000);
    assert_eq!(archive.find("069999.jpg"), Some(69_999));
    // The record of ZIP64 at a wrong place.
    let wrong = patch(&bytes, b"PK\x06\x07", 8, &[0xff; 8]);
    assert!(open(&wrong).unwrap_err().to_string().contains("ZIP64"));
    let wrong = patch(&bytes, b"PK\x06\x06", 32, &u64::MAX.to_le_bytes());
    assert!(open(&wrong).unwrap_err().to_string().contains("do not fit"));
    let wrong = patch(&bytes, b"PK\x06\x06", 40, &u64::MAX.to_le_bytes());
    assert!(open(&wrong).unwrap_err().to_string().contains("do not fit"));
}

#[test]
fn what_is_no_archive() {
    let whole = zip(&[("a", b"bytes", false)], "");
    for bytes in [&b""[..], b"PK\x05\x06", b"hello", &whole[..whole.len() - 1]] {
        let error = open(bytes).unwrap_err();
        assert!(error.to_string().contains("made-up.zip"), "{error}");
    }
    let trailing = [&whole[..], b"x"].concat();
    assert!(open(&trailing).is_err());
    let folder = tempfile::tempdir().unwrap();
    assert!(Archive::open(folder.path()).is_err());
    assert!(Archive::open(&folder.path().join("absent.zip")).is_err());
}

#[test]
fn lists_that_lie() {
    let whole = zip(&[("a.jpg", &[1; 100], true)], "");
    for (offset, new) in [
        // Number of members, length and start of the list, number of the disk.
        (10, &[2, 0][..]),
        (10, &[0xfe, 0xff]),
        (12, &[0xff, 0xff, 0xff, 0xfe]),
        (12, &[1, 0, 0, 0]),
        (16, &[0xff, 0xff, 0xff, 0x7f]),
        (16, &[0, 0, 0, 0]),
        (4, &[1, 0]),
    ] {
        let error = open(&patch(&whole, END, offset, new)).unwrap_err();
        assert!(matches!(error, DataError::Format { .. }), "{error}");
    }
    // Of the length of the name, of the extra field and of the comment.
    for offset in [28, 30, 32] {
        assert!(open(&patch(&whole, CENTRAL, offset, &[0xff, 0xff])).is_err());
    }
    assert!(open(&patch(&whole, CENTRAL, 42, &[0xf0, 0xff, 0xff, 0xff])).is_err());
    let two = zip(&[("a.jpg", b"1", false), ("b.jpg", b"2", false)], "");
    let error = open(&patch(&two, CENTRAL, 46, b"a")).unwrap_err();
    assert!(error.to_string().contains("`a.jpg`"), "{error}");
}

#[test]
fn members_that_lie() {
    let read = |bytes: &[u8]| open(bytes).unwrap().read(0).unwrap_err();
    let deflated = zip(&[("a.jpg", &[1; 100], true)], "");
    let stored = zip(&[("a.jpg", &[1; 100], false)], "");
    let big = 0xfff0_0000u32.to_le_bytes();
    for whole in [&deflated, &stored] {
        // Lengths packed and unpacked, the checksum, the place of the header.
        for (offset, new) in [
            (20, &big[..]),
            (24, &big),
            (24, &[99]),
            (24, &[101]),
            (16, &[0; 4]),
            (42, &[1]),
        ] {
            let error = read(&patch(whole, CENTRAL, offset, new));
            assert!(error.to_string().contains("made-up.zip/a.jpg"), "{error}");
        }
        // The header has another signature, another length of its name, another name, endless extra fields.
        for (offset, new) in [
            (0, &b"XX"[..]),
            (26, &[4]),
            (26, &[0xff, 0xff]),
            (30, b"b"),
            (28, &[0xff, 0xff]),
        ] {
            assert!(matches!(
                read(&patch(whole, LOCAL, offset, new)),
                DataError::Format { .. }
            ));
        }
    }
    assert!(
        read(&patch(&deflated, CENTRAL, 8, &[1]))
            .to_string()
            .contains("encrypted")
    );
    assert!(
        read(&patch(&deflated, CENTRAL, 10, &[14]))
            .to_string()
            .contains("method 14")
    );
    let end = open(&stored).unwrap().read(1).unwrap_err();
    assert!(matches!(
        end,
        DataError::IndexOutOfRange { index: 1, len: 1 }
    ));
}

#[test]
fn a_bomb_stops_at_its_declared_length() {
    // 64 MiB of zeros, of which the list declares 1000.
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("bomb.png", options(true)).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..64 {
        writer.write_all(&zeros).unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    let lying = patch(&bytes, CENTRAL, 24, &1000u32.to_le_bytes());
    let error = open(&lying).unwrap().read(0).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::Length {
                expected: 1000,
                found: 1000,
                more: true,
                ..
            }
        ),
        "{error}"
    );
    // One that declares what it is, and is no picture.
    let archive = Arc::new(open(&bytes).unwrap());
    let set = PictureDataset::in_archive(archive, "", [("bomb.png", 0)], ImageShape::new(3, 8, 8))
        .unwrap();
    let error = set.bytes(0, &mut [0; 192]).unwrap_err();
    assert!(matches!(error, DataError::Picture { .. }), "{error}");
    assert!(error.to_string().contains("bomb.png"), "{error}");
}

#[test]
fn names_that_lead_out() {
    for bad in [
        "../a.jpg",
        "x/../../a.jpg",
        "..",
        "/etc/passwd",
        "x\\a.jpg",
        "C:a.jpg",
        "a\0b",
    ] {
        // The writer mends some of these, so the name is put in afterwards.
        let plain = "n".repeat(bad.len());
        let bytes = zip(&[(&plain, b"bytes", false)], "");
        let bytes = patch(&bytes, CENTRAL, 46, bad.as_bytes());
        let error = open(&bytes).unwrap_err();
        assert!(error.to_string().contains("leads out"), "{bad}: {error}");
    }
    let bytes = zip(&[("..a/...b", b"bytes", false)], "");
    assert_eq!(open(&bytes).unwrap().len(), 1);
}

#[test]
fn threads_read_at_once() {
    let members: Vec<(String, Vec<u8>)> = (0..200u32)
        .map(|number| {
            let bytes = (0..2000)
                .map(|at| ((at * (number + 1)) >> 5) as u8)
                .collect();
            (format!("{number}.bin"), bytes)
        })
        .collect();
    let list: Vec<(&str, &[u8], bool)> = members
        .iter()
        .enumerate()
        .map(|(number, (name, bytes))| (name.as_str(), &bytes[..], number % 2 == 0))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made-up.zip");
    std::fs::write(&path, zip(&list, "")).unwrap();
    let archive = Archive::open(&path).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (archive, members) = (&archive, &members);
            scope.spawn(move || {
                for step in 0..members.len() {
                    let (name, bytes) = &members[(step * 7 + thread * 50) % members.len()];
                    let index = archive.find(name).unwrap();
                    assert_eq!(archive.read(index).unwrap(), *bytes);
                }
            });
        }
    });
}
