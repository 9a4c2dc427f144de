//! Model files in 16 bits.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::store::{ModuleSnapshot, bridge};
use burn::tensor::{DType, Device, Tensor};
use protovae_core::model::BoxModel;
use protovae_core::train::{load_model, parse_model, read_card, save_model, save_model_as};
use protovae_core::{Error, Precision};
use serde_json::{Value, json};

use crate::support::{card, trained_model};

/// The values of all tensors of a model by their names.
fn values(model: &BoxModel) -> BTreeMap<String, Vec<f32>> {
    let tensors = model.collect(None, None, false).into_iter();
    let read = tensors.map(|tensor| {
        assert!(
            !tensor.dtype.is_float() || tensor.dtype == DType::F32,
            "{tensor:?}"
        );
        let name = tensor.name.clone();
        let data = bridge::into_data(tensor).unwrap();
        (name, data.iter::<f32>().collect())
    });
    read.collect()
}

fn header(bytes: &[u8]) -> Value {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    serde_json::from_slice(&bytes[8..8 + length]).unwrap()
}

fn saved(folder: &Path, model: &BoxModel, precision: Precision) -> Vec<u8> {
    let path = folder.join("small.safetensors");
    save_model_as(&path, model, &card(), precision).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn weights_in_16_bits_are_the_nearest_ones_and_the_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (model, device) = (trained_model(), Device::flex());
    let exact = values(&model.valid());
    for (precision, kind, bits, least) in [
        (Precision::F16, "F16", 10, -24),
        (Precision::Bf16, "BF16", 7, -133),
    ] {
        let bytes = saved(folder.path(), &model, precision);
        assert!(
            bytes == saved(folder.path(), &model, precision),
            "the same bytes"
        );
        let described = header(&bytes);
        let tensors = described.as_object().unwrap();
        for (name, tensor) in tensors.iter().filter(|(name, _)| *name != "__metadata__") {
            assert_eq!(tensor["dtype"], kind, "{name}");
        }
        let path = folder.path().join("small.safetensors");
        let (loaded, found) = load_model(&path, &device).unwrap();
        assert_eq!(found.stored_as, Some(precision));
        assert_eq!(found, read_card(&path).unwrap());
        let loaded_values = values(&loaded);
        assert!(loaded_values.keys().eq(exact.keys()));
        for (name, values) in &loaded_values {
            for (stored, value) in values.iter().zip(&exact[name]) {
                let exponent = f64::from(value.abs()).log2().floor().max(-1e6) as i32;
                let unit = 2f64.powi((exponent - bits).max(least));
                let error = (f64::from(*stored) - f64::from(*value)).abs();
                assert!(error <= unit / 2.0, "{name}: {value:e} became {stored:e}");
            }
        }
        // Nothing is lost the second time, and the way back is a file as any other.
        assert!(saved(folder.path(), &loaded, precision) == bytes);
        let long = folder.path().join("long.safetensors");
        save_model(&long, &loaded, &found).unwrap();
        let (again, found) = load_model(&long, &device).unwrap();
        assert_eq!(found, card());
        assert_eq!(values(&again), loaded_values);
        // From memory as from a file.
        let (parsed, found) = parse_model(&bytes, "memory".as_ref(), &device).unwrap();
        assert_eq!(
            (found.stored_as, values(&parsed)),
            (Some(precision), loaded_values)
        );
    }
}

#[test]
fn files_in_32_bits_are_what_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let model = trained_model();
    let path = folder.path().join("model.safetensors");
    save_model(&path, &model, &card()).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert!(saved(folder.path(), &model, Precision::F32) == bytes);
    let said = header(&bytes);
    let text = said["__metadata__"]["protovae"].as_str().unwrap();
    let said: Value = serde_json::from_str(text).unwrap();
    // Keys that earlier versions did not write are there only where they are needed.
    for key in ["stored_as", "strangeness"] {
        assert!(said.get(key).is_none(), "{key}");
    }
}

#[test]
fn damaged_files_in_16_bits_are_errors_not_panics() {
    let folder = tempfile::tempdir().unwrap();
    let good = saved(folder.path(), &trained_model(), Precision::F16);
    let device = Device::flex();
    let name = Path::new("memory");
    for length in (0..good.len()).step_by(7).chain([good.len() - 1]) {
        let error = parse_model(&good[..length], name, &device).unwrap_err();
        assert!(
            matches!(error, Error::Damaged { .. }),
            "{length}: {error:?}"
        );
    }
    let length = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    for index in (0..8 + length).step_by(3) {
        let mut bytes = good.clone();
        bytes[index] ^= 0x10;
        let _ = parse_model(&bytes, name, &device);
    }
    // A header that promises 32 bits of tensors that have 16.
    let lying = String::from_utf8_lossy(&good[8..8 + length]).replace("\"F16\"", "\"F32\"");
    let mut bytes = (lying.len() as u64).to_le_bytes().to_vec();
    bytes.extend(lying.as_bytes());
    bytes.extend(&good[8 + length..]);
    assert!(parse_model(&bytes, name, &device).is_err());
}

/// Halves all weights and adds this to them.
#[derive(Debug)]
struct Shift(f32);

impl ModuleMapper for Shift {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let value = self.0;
        param.map(|tensor| tensor.mul_scalar(0.5).add_scalar(value))
    }
}

#[test]
fn what_16_bits_cannot_hold_is_an_error_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let model = trained_model().valid().map(&mut Shift(70_000.25));
    let path = folder.path().join("small.safetensors");
    let error = save_model_as(&path, &model, &card(), Precision::F16).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    assert!(
        message.contains("beyond the range of f16") && message.contains("bf16"),
        "{message}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    save_model_as(&path, &model, &card(), Precision::Bf16).unwrap();
    let (loaded, _) = load_model(&path, &Device::flex()).unwrap();
    assert!(
        values(&loaded)
            .values()
            .flatten()
            .all(|value| value.is_finite())
    );
}

#[test]
fn a_card_keeps_what_tells_strange_images() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.safetensors");
    let mut card = card();
    card.strangeness = Some(json!({"threshold": 4.25}));
    save_model_as(&path, &trained_model(), &card, Precision::F16).unwrap();
    assert_eq!(read_card(&path).unwrap().strangeness, card.strangeness);
}
