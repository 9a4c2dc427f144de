//! Files of weights: safetensors, and PyTorch's `.pth` as far as it holds plain tensors.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use burn::store::bridge;
use burn::store::burn_pack::{Bytes, Tensor as PackTensor};
use burn::store::pytorch_reader::PytorchReader;
use burn::tensor::DType;
use protovae_core::train::ModelCard;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use super::error::WeightsError;
use super::layout::Layout;

/// Where checkpoints keep the model beside other things, and what wrappers put before its names.
const WRAPPERS: [&str; 6] = [
    "module.",
    "_orig_mod.",
    "state_dict.",
    "model_state_dict.",
    "model.",
    "net.",
];

/// The tensors of a file by their names, their values unread as yet.
///
/// Opening runs no code from the file, whatever is in it, and allocates no more than the file's size justifies. Values are
/// read only of tensors whose shape is the one that is needed.
#[derive(Debug)]
pub struct StateDict {
    path: PathBuf,
    sha256: String,
    tensors: BTreeMap<String, Stored>,
    metadata: BTreeMap<String, String>,
}

/// One tensor of a file.
struct Stored {
    shape: Vec<usize>,
    kind: String,
    /// `None` for types that burn does not have.
    tensor: Option<PackTensor>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.kind, self.shape)
    }
}

impl StateDict {
    /// Opens a file, whose kind is told by its content.
    ///
    /// Tensors of a dictionary inside a checkpoint (`state_dict`, `model_state_dict`, `model`) are taken out of it if there
    /// is no other weight of a known layout; `module.` and `_orig_mod.`, which PyTorch's wrappers put before every name, are
    /// taken off.
    ///
    /// # Errors
    /// [`WeightsError::Read`]; [`WeightsError::Unreadable`] for anything that is no such file, or a damaged one.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let read = |source| WeightsError::Read {
            path: path.to_path_buf(),
            source,
        };
        if path.is_dir() {
            return Err(read(std::io::ErrorKind::IsADirectory.into()));
        }
        let mut start = Vec::new();
        let file = File::open(path).map_err(read)?;
        file.take(9).read_to_end(&mut start).map_err(read)?;
        // A safetensors file begins with the length of its header, eight bytes, and the header is a JSON object.
        let (tensors, metadata, sha256) = if start.get(8) == Some(&b'{') {
            let bytes = fs::read(path).map_err(read)?;
            let (tensors, metadata) =
                from_safetensors(&bytes).map_err(|reason| unreadable(path, reason))?;
            (tensors, metadata, hexadecimal(&Sha256::digest(&bytes)))
        } else {
            let sha256 = digest(path).map_err(read)?;
            let tensors = from_pytorch(path).map_err(|reason| unreadable(path, reason))?;
            (tensors, BTreeMap::new(), sha256)
        };
        if tensors.is_empty() {
            return Err(unreadable(path, "there are no tensors in it".to_string()));
        }
        Ok(Self {
            path: path.to_path_buf(),
            sha256,
            tensors: unwrapped(tensors),
            metadata,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the file in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.tensors.get(name)?.shape)
    }

    /// An entry of a safetensors file's metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// The layout that the names tell; that of model files for every file with a card, whatever kind of model it is of.
    ///
    /// # Errors
    /// [`WeightsError::UnknownLayout`].
    pub fn layout(&self) -> Result<Layout, WeightsError> {
        if self.metadata(ModelCard::KEY).is_some() {
            return Ok(Layout::Protovae);
        }
        Layout::of_names(self.names()).ok_or_else(|| WeightsError::UnknownLayout {
            path: self.path.clone(),
            names: self.names().map(str::to_string).collect(),
        })
    }

    /// The type of a tensor's values, if they are none that can be used.
    pub(super) fn wrong_type(&self, name: &str) -> Option<&str> {
        let stored = self.tensors.get(name)?;
        let usable = stored.tensor.as_ref().is_some_and(|tensor| {
            matches!(
                tensor.dtype,
                DType::F64 | DType::F32 | DType::F16 | DType::BF16
            )
        });
        (!usable).then_some(&stored.kind)
    }

    /// The values of a tensor in single precision, row by row.
    pub(super) fn values(&self, name: &str) -> Result<Vec<f32>, String> {
        let stored = self.tensors.get(name);
        let tensor = stored
            .and_then(|stored| stored.tensor.as_ref())
            .ok_or_else(|| "cannot be read".to_string())?;
        let data = bridge::to_data(tensor).map_err(|error| error.to_string())?;
        let data = data.convert_dtype(DType::F32);
        data.try_into_vec::<f32>()
            .map_err(|error| format!("{error:?}"))
    }
}

fn unreadable(path: &Path, reason: String) -> WeightsError {
    WeightsError::Unreadable {
        path: path.to_path_buf(),
        reason,
    }
}

type Tensors = BTreeMap<String, Stored>;

fn from_safetensors(bytes: &[u8]) -> Result<(Tensors, BTreeMap<String, String>), String> {
    let broken = |error| format!("is no safetensors file, or a damaged one ({error})");
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let mut tensors = BTreeMap::new();
    for (name, view) in SafeTensors::deserialize(bytes).map_err(broken)?.iter() {
        let tensor = dtype(view.dtype()).map(|dtype| {
            let values = Bytes::from_bytes_vec(view.data().to_vec());
            PackTensor::new(name.to_string(), dtype, view.shape().to_vec(), None, values)
        });
        let stored = Stored {
            shape: view.shape().to_vec(),
            kind: format!("{:?}", view.dtype()),
            tensor,
        };
        tensors.insert(name.to_string(), stored);
    }
    Ok((tensors, metadata.into_iter().collect()))
}

fn dtype(dtype: Dtype) -> Option<DType> {
    match dtype {
        Dtype::F64 => Some(DType::F64),
        Dtype::F32 => Some(DType::F32),
        Dtype::F16 => Some(DType::F16),
        Dtype::BF16 => Some(DType::BF16),
        _ => None,
    }
}

fn from_pytorch(path: &Path) -> Result<Tensors, String> {
    let reader = PytorchReader::new(path)
        .map_err(|error| format!("holds no plain tensors that can be read ({error})"))?;
    let tensors = reader.into_tensors().into_iter().map(|(name, tensor)| {
        let stored = Stored {
            shape: tensor.shape().to_vec(),
            kind: format!("{:?}", tensor.dtype()),
            tensor: Some(bridge::from_pytorch(tensor)),
        };
        (name, stored)
    });
    Ok(tensors.collect())
}

/// The tensors without what wraps a model of a known layout.
fn unwrapped(mut tensors: Tensors) -> Tensors {
    let known = |tensors: &Tensors| Layout::of_names(tensors.keys().map(String::as_str)).is_some();
    // A wrapper of a dictionary of a wrapper; nobody nests deeper.
    for _ in 0..3 {
        if known(&tensors) {
            break;
        }
        let wrapper = WRAPPERS.into_iter().find(|wrapper| {
            let mut inside = tensors.keys().filter(|name| name.starts_with(wrapper));
            inside.next().is_some()
        });
        let Some(wrapper) = wrapper else { break };
        let inside = tensors.into_iter().filter_map(|(name, stored)| {
            let name = name.strip_prefix(wrapper)?.to_string();
            Some((name, stored))
        });
        tensors = inside.collect();
    }
    tensors
}

fn digest(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    Ok(hexadecimal(&hasher.finalize()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
