//! Model files: what is loaded is what was saved, and what is none is an error.

use std::fs;

use burn::tensor::Device;
use protovae_core::Error;
use protovae_core::train::{Batch, evaluate, load_model, read_card};
use serde_json::{Value, json};

use crate::common::flat;
use crate::support::{CLASSES, IMAGE, batch, card, model_bytes, test_source, trained_model};

#[test]
fn a_loaded_model_predicts_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let model = trained_model();
    let bytes = model_bytes(folder.path(), &model);
    let path = folder.path().join("model.safetensors");
    let device = Device::flex();
    let (loaded, found) = load_model(&path, &device).unwrap();
    assert_eq!(found, card());
    assert_eq!(read_card(&path).unwrap(), card());
    let host = batch(7, 90);
    let images = Batch::new(host, IMAGE, CLASSES, 0, 0, &device)
        .unwrap()
        .images;
    let (one, other) = (model.predict(images.clone()), loaded.predict(images));
    assert_eq!(flat(one.logits), flat(other.logits));
    assert_eq!(
        flat(one.similarities.unwrap()),
        flat(other.similarities.unwrap())
    );
    let (one_z, other_z) = (one.latents.unwrap(), other.latents.unwrap());
    assert_eq!(flat(one_z.clone()), flat(other_z.clone()));
    assert_eq!(
        flat(model.decode(one_z).unwrap()),
        flat(loaded.decode(other_z).unwrap())
    );
    // And is written as the same bytes.
    assert_eq!(model_bytes(folder.path(), &loaded), bytes);
    let source = test_source();
    assert_eq!(
        evaluate(&model, &source, None, &device).unwrap(),
        evaluate(&loaded, &source, None, &device).unwrap()
    );
}

/// A model file with another header.
fn with_header(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let header = header.to_string().into_bytes();
    let mut changed = (header.len() as u64).to_le_bytes().to_vec();
    changed.extend(header);
    changed.extend(&bytes[8 + length..]);
    changed
}

fn with_card(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    with_header(bytes, |header| {
        let text = header["__metadata__"]["protovae"].as_str().unwrap();
        let mut card: Value = serde_json::from_str(text).unwrap();
        change(&mut card);
        header["__metadata__"]["protovae"] = json!(card.to_string());
    })
}

/// The name and header entry of some tensor.
fn a_tensor(header: &Value) -> String {
    let names = header.as_object().unwrap().keys();
    names
        .filter(|name| *name != "__metadata__")
        .min()
        .unwrap()
        .clone()
}

#[test]
fn model_files_that_are_none_are_errors_not_panics() {
    let folder = tempfile::tempdir().unwrap();
    let good = model_bytes(folder.path(), &trained_model());
    let path = folder.path().join("broken.safetensors");
    let device = Device::flex();
    let load = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        load_model(&path, &device)
    };
    load(&with_card(&good, |_| {})).unwrap();
    let refuse = |what: &str, bytes: &[u8]| match load(bytes) {
        Ok(_) => panic!("{what} was loaded"),
        Err(error) => {
            assert!(
                matches!(error, Error::Damaged { .. } | Error::Config { .. }),
                "{what}: {error:?}"
            );
            error.to_string()
        }
    };
    // Truncated anywhere.
    for length in (0..good.len()).step_by(7).chain([good.len() - 1]) {
        refuse(&format!("a file of {length} bytes"), &good[..length]);
    }
    // Longer than it says.
    refuse("a longer file", &[good.as_slice(), &[0; 64]].concat());
    // A header that says it is huge.
    for length in [good.len() as u64 + 1, 1 << 24, 1 << 40, u64::MAX] {
        let mut bytes = good.clone();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        refuse(&format!("a header of {length}"), &bytes);
    }
    // Other files.
    let said = refuse("a foreign safetensors file", &foreign());
    assert!(said.contains("not a protovae model"), "{said}");
    for text in [
        "",
        "{}",
        "PK\u{3}\u{4} not a tensor in sight",
        "\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}",
    ] {
        refuse(text, text.as_bytes());
    }
    // Cards.
    let said = refuse(
        "a later format",
        &with_card(&good, |card| card["format"] = json!(2)),
    );
    assert!(said.contains("format 2"), "{said}");
    let said = refuse(
        "an unknown model",
        &with_card(&good, |card| {
            card["model"]["type"] = json!("from-the-future")
        }),
    );
    assert!(said.contains("from-the-future"), "{said}");
    let said = refuse(
        "an unknown plugin",
        &with_card(&good, |card| {
            card["model"]["encoder"]["type"] = json!("not-linked-in")
        }),
    );
    assert!(said.contains("not-linked-in"), "{said}");
    refuse(
        "no model",
        &with_card(&good, |card| card["model"] = json!(null)),
    );
    refuse(
        "a card without image",
        &with_card(&good, |card| {
            card.as_object_mut().unwrap().remove("image");
        }),
    );
    refuse(
        "other sizes",
        &with_card(&good, |card| card["model"]["latent_dimensions"] = json!(4)),
    );
    refuse(
        "no latents",
        &with_card(&good, |card| card["model"]["latent_dimensions"] = json!(0)),
    );
    refuse(
        "other images",
        &with_card(&good, |card| card["image"]["width"] = json!(5)),
    );
    refuse(
        "more classes",
        &with_card(&good, |card| {
            card["class_names"] = json!(["a", "b", "c"]);
        }),
    );
    refuse(
        "a card that is no text",
        &with_header(&good, |header| {
            header["__metadata__"]["protovae"] = json!(7);
        }),
    );
    refuse(
        "a card that is no card",
        &with_header(&good, |header| {
            header["__metadata__"]["protovae"] = json!("{}");
        }),
    );
    // Tensors.
    let missing = refuse(
        "a missing tensor",
        &with_header(&good, |header| {
            let name = a_tensor(header);
            header.as_object_mut().unwrap().remove(&name);
        }),
    );
    assert!(!missing.is_empty());
    refuse(
        "a renamed tensor",
        &with_header(&good, |header| {
            let name = a_tensor(header);
            let tensor = header.as_object_mut().unwrap().remove(&name).unwrap();
            header["stranger"] = tensor;
        }),
    );
    refuse(
        "a tensor of another shape",
        &with_header(&good, |header| {
            let name = a_tensor(header);
            let count: u64 = header[&name]["shape"]
                .as_array()
                .unwrap()
                .iter()
                .map(|size| size.as_u64().unwrap())
                .product();
            header[&name]["shape"] = json!([1, 1, count]);
        }),
    );
    refuse(
        "offsets beyond the end",
        &with_header(&good, |header| {
            let name = a_tensor(header);
            header[&name]["data_offsets"] = json!([0, 1u64 << 40]);
        }),
    );
    let missing = load_model(&folder.path().join("nowhere"), &device);
    assert!(matches!(missing, Err(Error::Io { .. })), "{missing:?}");
}

/// A class count of zero in a card must not be divided by.
#[test]
fn a_card_without_classes_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let good = model_bytes(folder.path(), &trained_model());
    let path = folder.path().join("broken.safetensors");
    for change in [json!(2), json!(null)] {
        let bytes = with_card(&good, |card| {
            card["class_names"] = json!([]);
            if !change.is_null() {
                card["model"]["prototypes"] = change.clone();
                card["model"]
                    .as_object_mut()
                    .unwrap()
                    .remove("prototypes_per_class");
            }
        });
        fs::write(&path, bytes).unwrap();
        assert!(load_model(&path, &Device::flex()).is_err());
    }
}

/// Any single damaged byte of the header is an error or harmless, never a panic.
#[test]
fn damaged_headers_do_not_panic() {
    let folder = tempfile::tempdir().unwrap();
    let good = model_bytes(folder.path(), &trained_model());
    let header = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let path = folder.path().join("broken.safetensors");
    for index in 0..8 + header {
        for mask in [0x01u8, 0x10, 0x80] {
            let mut bytes = good.clone();
            bytes[index] ^= mask;
            fs::write(&path, bytes).unwrap();
            let _ = load_model(&path, &Device::flex());
        }
    }
}

/// A safetensors file of someone else's.
fn foreign() -> Vec<u8> {
    let header = br#"{"weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend([0; 8]);
    bytes
}
