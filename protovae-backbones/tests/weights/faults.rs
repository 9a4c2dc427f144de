//! What does not fit or is damaged: told in full, and never a panic.

use std::fs;
use std::path::Path;

use protovae_backbones::weights::{
    self, Layout, NamedTensor, Part, Problem, StateDict, WeightsError,
};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};

use crate::support::{bytes_of, file, golden, load, open, problems, resnet, stored, tiny_model};

#[test]
fn everything_that_is_wrong_is_listed() {
    let mut tensors = weights::export(&tiny_model(1), Layout::Reference2022).unwrap();
    tensors.retain(|tensor| tensor.name != "features.0.bias" && tensor.name != "last_layer.weight");
    for tensor in &mut tensors {
        match tensor.name.as_str() {
            "features.2.weight" => {
                tensor.shape = vec![3];
                tensor.values.push(0.0);
            }
            // As many values, but the other way round.
            "features.5.weight" => tensor.shape.reverse(),
            "features.7.bias" => tensor.values[1] = f32::NAN,
            "decoder_layers.2.running_var" => tensor.values[0] = -0.5,
            _ => {}
        }
    }
    for name in ["features.7.scale", "mystery"] {
        tensors.push(NamedTensor {
            name: name.into(),
            shape: vec![1],
            values: vec![0.0],
        });
    }
    let stored = stored(&tensors);
    let result = load(&stored, Layout::Reference2022);
    let message = result.as_ref().unwrap_err().to_string();
    let found = problems(result.map(|_| ()));
    assert_eq!(found.len(), 8, "{message}");
    for words in [
        "nothing was loaded",
        "missing   features.0.bias [2]",
        "missing   last_layer.weight [10, 20]",
        "misshapen features.2.weight [3], the model has [2]",
        "misshapen features.5.weight [8, 4], the model has [4, 8]",
        "values    features.7.bias has 1 values that are not finite",
        "values    decoder_layers.2.running_var has variances below 0",
        "unknown   features.7.scale [1]",
        "unknown   mystery [1]",
    ] {
        assert!(message.contains(words), "`{words}` is not in: {message}");
    }
}

#[test]
fn floating_point_of_other_widths_becomes_32_bits_and_other_types_are_refused() {
    let tensors = weights::export(&tiny_model(1), Layout::Pytorch).unwrap();
    // Powers of two are exact in every width.
    let exact: Vec<NamedTensor> = tensors
        .iter()
        .map(|tensor| NamedTensor {
            values: (0..tensor.values.len())
                .map(|place| 2f32.powi(place as i32 % 9 - 4))
                .collect(),
            ..tensor.clone()
        })
        .collect();
    let written = |dtype: Dtype, encode: &dyn Fn(f32) -> Vec<u8>| {
        let data: Vec<(String, Vec<usize>, Vec<u8>)> = exact
            .iter()
            .map(|tensor| {
                let bytes = tensor.values.iter().flat_map(|v| encode(*v)).collect();
                (tensor.name.clone(), tensor.shape.clone(), bytes)
            })
            .collect();
        let views = data.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(dtype, shape.clone(), bytes).unwrap();
            (name.as_str(), view)
        });
        open(&serialize(views, None).unwrap()).unwrap()
    };
    // Of a power of two: sign 0, mantissa 0, the exponent with the other bias.
    let exponent = |value: f32| (value.to_bits() >> 23) as u16;
    let half = |value: f32| ((exponent(value) + 15 - 127) << 10).to_le_bytes().to_vec();
    let brain = |value: f32| (exponent(value) << 7).to_le_bytes().to_vec();
    let double = |value: f32| f64::from(value).to_le_bytes().to_vec();
    for stored in [
        written(Dtype::F64, &double),
        written(Dtype::F16, &half),
        written(Dtype::BF16, &brain),
    ] {
        let loaded = load(&stored, Layout::Pytorch).unwrap();
        let again = weights::export(&loaded, Layout::Pytorch).unwrap();
        assert_eq!(again, exact);
    }
    let whole = |value: f32| (value as i32).to_le_bytes().to_vec();
    let eight = |value: f32| vec![value as u8];
    for (stored, kind) in [
        (written(Dtype::I32, &whole), "I32"),
        (written(Dtype::F8_E4M3, &eight), "F8_E4M3"),
    ] {
        let found = problems(load(&stored, Layout::Pytorch));
        assert_eq!(found.len(), exact.len());
        let wrong =
            |problem: &Problem| matches!(problem, Problem::Type { found, .. } if found == kind);
        assert!(found.iter().all(wrong), "{found:?}");
    }
    // A double that is too large for 32 bits.
    let huge = written(Dtype::F64, &|_| 1e300f64.to_le_bytes().to_vec());
    assert_eq!(problems(load(&huge, Layout::Pytorch)).len(), exact.len());
}

#[test]
fn a_model_that_cannot_have_a_layout_says_so() {
    let stored = stored(&weights::export(&tiny_model(0), Layout::Pytorch).unwrap());
    for (model, layout, words) in [
        (resnet(0), Layout::Reference2022, "layout pytorch"),
        (tiny_model(0), Layout::Torchvision, "no ResNet-18"),
    ] {
        let exported = weights::export(&model, layout).unwrap_err();
        let loaded = weights::load(model, &stored, layout, Part::All).unwrap_err();
        for error in [exported, loaded] {
            assert!(matches!(error, WeightsError::Unsuited { .. }), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

#[test]
fn damaged_files_are_errors_and_never_panics() {
    let safetensors = bytes_of(&weights::export(&tiny_model(1), Layout::Reference2022).unwrap());
    let files = ["reference.pth", "legacy.pth", "module.pth", "nested.pth"]
        .map(|name| fs::read(golden(name)).unwrap());
    let (_folder, path) = file(&[]);
    let attempt = |bytes: &[u8]| -> bool {
        fs::write(&path, bytes).unwrap();
        StateDict::open(&path).is_ok_and(|stored| load(&stored, Layout::Reference2022).is_ok())
    };
    for good in files.iter().chain([&safetensors]) {
        assert!(attempt(good));
        // Truncated anywhere.
        for length in (0..good.len()).step_by(good.len() / 60 + 1) {
            assert!(!attempt(&good[..length]), "{length} of {}", good.len());
        }
        // Some bytes others: refused, or harmless.
        let mut state = 20_221_128u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        for _ in 0..150 {
            let mut bytes = good.clone();
            for _ in 0..1 + random() % 4 {
                let place = random() % bytes.len();
                bytes[place] = random() as u8;
            }
            attempt(&bytes);
        }
    }
    // Noise, and what a browser saves in place of a file.
    for bytes in [
        &[][..],
        b"{}",
        b"<!DOCTYPE html><html>not found</html>",
        b"PK\x03\x04",
        b"\x80\x02",
        &[0xff; 4096],
    ] {
        let said = open(bytes).unwrap_err();
        assert!(matches!(said, WeightsError::Unreadable { .. }), "{said}");
    }
    // A header that declares more than there is.
    for length in [1u64 << 20, 1 << 40, u64::MAX] {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(b"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}");
        assert!(open(&bytes).is_err());
    }
    let huge = br#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}    "#;
    let mut bytes = (huge.len() as u64).to_le_bytes().to_vec();
    bytes.extend(huge);
    bytes.extend([0; 4]);
    assert!(open(&bytes).is_err());
    // No file at all, and a folder.
    let missing = StateDict::open(Path::new("no/such/file")).unwrap_err();
    assert!(matches!(missing, WeightsError::Read { .. }));
    assert!(StateDict::open(Path::new(env!("CARGO_MANIFEST_DIR"))).is_err());
}
