//! What can be wrong with weights of others.

use std::fmt;
use std::path::PathBuf;

use super::Layout;

/// Why weights were not read or written. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The operating system refused to read the file.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file holds no tensors that can be read without running code.
    #[error("{}: {reason}{}", path.display(), way_out(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The names in the file are those of no known layout.
    #[error(
        "{}: its tensors have the names of no layout that is known ({}): {}",
        path.display(),
        Layout::ALL.map(Layout::name).join(", "),
        listed(names)
    )]
    UnknownLayout {
        /// The file.
        path: PathBuf,
        /// The names in it.
        names: Vec<String>,
    },
    /// The model has no place for a layout's tensors.
    #[error("layout {layout} does not suit this model: {reason}")]
    Unsuited {
        /// The layout.
        layout: Layout,
        /// Why, and what would do.
        reason: String,
    },
    /// The tensors of the file are not those of the model; all of them that are wrong are listed.
    #[error(
        "{} does not fit the model (as {layout}); nothing was loaded:{}",
        path.display(),
        lines(problems)
    )]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// How it was read.
        layout: Layout,
        /// Everything that does not fit.
        problems: Vec<Problem>,
    },
    /// Tensors cannot be written as a safetensors file.
    #[error("the weights cannot be written: {0}")]
    Write(String),
}

/// One tensor that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The model needs it, the file does not have it.
    Missing {
        /// Its name in the file's layout.
        name: String,
        /// Its shape there.
        shape: Vec<usize>,
    },
    /// The file has it, the model has no place for it.
    Unknown {
        /// Its name in the file.
        name: String,
        /// Its shape there.
        shape: Vec<usize>,
    },
    /// It has another shape than the model's.
    Shape {
        /// Its name in the file.
        name: String,
        /// Its shape there.
        found: Vec<usize>,
        /// The shape that the model needs.
        expected: Vec<usize>,
    },
    /// Its values are no floating-point numbers of 16, 32 or 64 bits.
    Type {
        /// Its name in the file.
        name: String,
        /// The type of its values.
        found: String,
    },
    /// Its values cannot be read, or cannot be used.
    Values {
        /// Its name in the file.
        name: String,
        /// What is wrong with them.
        reason: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name, shape } => write!(f, "missing   {name} {shape:?}"),
            Self::Unknown { name, shape } => write!(f, "unknown   {name} {shape:?}"),
            Self::Shape {
                name,
                found,
                expected,
            } => write!(f, "misshapen {name} {found:?}, the model has {expected:?}"),
            Self::Type { name, found } => write!(
                f,
                "type      {name} holds {found}; F16, BF16, F32 and F64 can be used"
            ),
            Self::Values { name, reason } => write!(f, "values    {name} {reason}"),
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines = problems.iter().map(|problem| format!("\n  {problem}"));
    lines.collect()
}

/// The first names, and how many more there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.get(..SHOWN).unwrap_or(names).join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 if names.is_empty() => "there are none".to_string(),
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// How to make a file that can be read.
fn way_out(path: &std::path::Path) -> String {
    let name = path.display().to_string().replace(['\\', '"'], "_");
    format!(
        ". Files are read as plain tensors, no code in them is run. In Python, these lines make a file that can be read \
         (trust the file first where it needs weights_only=False; of a whole module take its .state_dict()):\n  \
         import torch, safetensors.torch\n  \
         weights = torch.load(\"{name}\", map_location=\"cpu\", weights_only=True)\n  \
         safetensors.torch.save_file({{k: v.contiguous().clone() for k, v in weights.items()}}, \"{name}.safetensors\")"
    )
}
