//! The lists that come with CelebA, right and wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use protovae_data::celeba::{Part, parse_attributes, parse_partition};

#[test]
fn lists_of_attributes() {
    let parse = |text: &str| parse_attributes(text.as_bytes(), "list".as_ref(), "Male");
    let csv = "image_id,Male,Young\n000001.jpg,1,-1\nb c.png,-1,1\n";
    for text in [csv, "2\nMale Young\n000001.jpg 1 -1\r\nb.png -1\t1\n\n \n"] {
        let faces = parse(text).unwrap();
        assert_eq!(
            (faces.len(), faces.has(0), faces.has(1)),
            (2, Some(true), Some(false))
        );
        assert_eq!(
            (faces.file(0), faces.file(2), faces.has(2)),
            (Some("000001.jpg"), None, None)
        );
    }
    for (text, part) in [
        ("", "empty"),
        ("x\nMale\na 1\n", "line 1"),
        ("18446744073709551615\nMale\na 1\n", "truncated"),
        ("99999999999999999999\nMale\na 1\n", "line 1"),
        ("-1\nMale\n", "line 1"),
        ("0\nMale\n", "line 2"),
        ("1\nMale\n", "truncated"),
        ("1\nMale\na 1\nb 1\n", "line 4"),
        ("3\nMale\na 1\nb 1\n", "declares 3 files but 2"),
        (
            "2\nMale\na 1\na -1\n",
            "line 4: `a` was already listed in line 3",
        ),
        ("2\nMale\na 1\n\nb 1\n", "line 4: it is empty"),
        ("1\nMale\na 0\n", "line 3: `0`"),
        ("1\nMale\na +1\n", "line 3"),
        ("1\nMale\na\n", "line 3: it has 0 values"),
        ("1\nMale\na 1 1\n", "line 3: it has 2 values"),
        ("1\nMale Young\na 1\n", "line 3: it has 1 values"),
        ("1\nMale\n../a 1\n", "line 3: `../a`"),
        ("1\nMale\n.. 1\n", "line 3: `..`"),
        ("1\nMale\na\\b 1\n", "line 3"),
        ("1\nMale\n/a 1\n", "line 3"),
        ("image_id,Male\n", "follow"),
        (
            "image_id,Male\na,1\na,1\n",
            "line 3: `a` was already listed in line 2",
        ),
        ("image_id,Male\n,1\n", "line 2"),
        ("1\nYoung\na 1\n", "attribute"),
        ("1\n", "attribute"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text:?}: {error}");
    }
    assert!(parse_attributes(b"1\nMale\n\xff 1\n", "list".as_ref(), "Male").is_err());
    let long = format!("1\nMale\n{} 1\n", "a".repeat(1 << 17));
    assert!(parse(&long).unwrap_err().to_string().contains("too long"));
}

#[test]
fn lists_of_splits() {
    let parse = |text: &str| parse_partition(text.as_bytes(), "list".as_ref());
    let partition = parse("a 0\nb 1\nc 2\n").unwrap();
    assert_eq!(partition.len(), 3);
    let parts = ["a", "b", "c", "d"].map(|file| partition.part(file));
    assert_eq!(
        parts,
        [
            Some(Part::Train),
            Some(Part::Validation),
            Some(Part::Test),
            None
        ]
    );
    for (text, part) in [
        ("", "no file"),
        ("image_id,partition\n", "no file"),
        ("a 3\n", "line 1"),
        ("a 0\nb\n", "line 2"),
        ("a 0\nb 0 0\n", "line 2"),
        (
            "a 0\nb 1\na 2\n",
            "line 3: `a` was already listed in line 1",
        ),
        ("image_id,partition\na,0\na,0\n", "line 3"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text:?}: {error}");
    }
}

proptest! {
    #[test]
    fn lists_come_back(rows in prop::collection::btree_map("[a-z0-9]{1,6}\\.jpg", prop::collection::vec(any::<bool>(), 3), 1..30), comma: bool) {
        let value = |&has: &bool| if has { "1" } else { "-1" };
        let separator = if comma { "," } else { " " };
        let titles = ["A", "Male", "B"].join(separator);
        let mut text = if comma { format!("image_id,{titles}\n") } else { format!("{}\n{titles}\n", rows.len()) };
        for (name, values) in &rows {
            text += &format!("{name}{separator}{}\n", values.iter().map(value).collect::<Vec<_>>().join(separator));
        }
        let faces = parse_attributes(text.as_bytes(), "list".as_ref(), "Male").unwrap();
        prop_assert_eq!(faces.len(), rows.len());
        for (index, (name, values)) in rows.iter().enumerate() {
            prop_assert_eq!(faces.file(index), Some(name.as_str()));
            prop_assert_eq!(faces.has(index), Some(values[1]));
        }
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(prop::sample::select(b"01-, \n\r\tMaleYoung.jpg\xff".to_vec()), 0..80)) {
        let _ = parse_attributes(&bytes, "list".as_ref(), "Male");
        let _ = parse_partition(&bytes, "list".as_ref());
    }
}
