//! Which device a program computes on, as a value that a command line can hold.
//!
//! Nothing here or elsewhere calls `burn::tensor::Device::default()`: that is the first backend that was *compiled in*,
//! present or not.

mod backends;
#[cfg(feature = "libtorch")]
mod libtorch;
mod workers;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

pub use workers::on_workers;

/// The version of burn under this build.
pub const BURN_VERSION: &str = "0.22.1";

/// What computes, and the cargo feature of its name that compiles it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// burn-flex, pure Rust, with this project's kernels; always compiled in.
    Cpu,
    /// burn-cuda: NVIDIA's GPUs.
    Cuda,
    /// burn-wgpu: GPUs through Vulkan, Metal or DirectX.
    Wgpu,
    /// burn-tch: libtorch, on the CPU or on NVIDIA's GPUs.
    Libtorch,
}

impl Backend {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Cuda, Self::Wgpu, Self::Libtorch];

    /// Its name on command lines, which is also the cargo feature's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
            Self::Libtorch => "libtorch",
        }
    }

    /// Whether it is part of this build.
    ///
    /// ```
    /// assert!(protovae_core::device::Backend::Cpu.is_compiled());
    /// ```
    pub fn is_compiled(self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Libtorch => cfg!(feature = "libtorch"),
        }
    }

    /// The value of `BURN_DEVICE` that makes burn's own default device one of this backend.
    ///
    /// Loading an optimizer's state materialises it on burn's default device first, so a program in which an
    /// accelerator is compiled in sets this variable before its first tensor.
    pub fn burn_name(self) -> &'static str {
        match self {
            Self::Cpu => "flex",
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
            Self::Libtorch => "tch",
        }
    }
}

/// A device by name: `cpu`, `cuda`, `cuda:1`, `libtorch`, `libtorch:cuda:0`, `wgpu`, `wgpu:1`.
///
/// ```
/// use protovae_core::device::DeviceName;
/// let name: DeviceName = "cpu".parse()?;
/// let device = name.resolve()?;
/// assert!(!device.is_autodiff());
/// # Ok::<(), protovae_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceName {
    /// The pure-Rust CPU backend (burn-flex) with this project's kernels; always compiled in.
    #[default]
    Cpu,
    /// An NVIDIA GPU by index; needs the cargo feature `cuda`.
    Cuda(usize),
    /// libtorch on the CPU; needs the cargo feature `libtorch`.
    Libtorch,
    /// libtorch on an NVIDIA GPU by index; needs the cargo feature `libtorch`.
    LibtorchCuda(usize),
    /// A GPU through Vulkan, Metal or DirectX by index; needs the cargo feature `wgpu`. Programs that imitate a GPU on the
    /// CPU come after the GPUs.
    Wgpu(usize),
}

impl DeviceName {
    /// What computes there.
    pub fn backend(self) -> Backend {
        match self {
            Self::Cpu => Backend::Cpu,
            Self::Cuda(_) => Backend::Cuda,
            Self::Libtorch | Self::LibtorchCuda(_) => Backend::Libtorch,
            Self::Wgpu(_) => Backend::Wgpu,
        }
    }
}

impl DeviceName {
    /// The device of the same kind with this number, from 0; whether the machine has it is for [`resolve`](Self::resolve) to
    /// say. Kinds without numbers have number 0 alone.
    ///
    /// # Errors
    /// [`Error::Device`] for another number of a kind that has none.
    ///
    /// ```
    /// use protovae_core::device::DeviceName;
    /// assert_eq!(DeviceName::Cuda(0).numbered(3)?, DeviceName::Cuda(3));
    /// assert_eq!(DeviceName::Cpu.numbered(0)?, DeviceName::Cpu);
    /// assert!(DeviceName::Cpu.numbered(1).is_err());
    /// # Ok::<(), protovae_core::Error>(())
    /// ```
    pub fn numbered(self, number: usize) -> Result<Self> {
        match self {
            Self::Cuda(_) => Ok(Self::Cuda(number)),
            Self::LibtorchCuda(_) => Ok(Self::LibtorchCuda(number)),
            Self::Wgpu(_) => Ok(Self::Wgpu(number)),
            Self::Cpu | Self::Libtorch if number == 0 => Ok(self),
            Self::Cpu | Self::Libtorch => Err(Error::Device {
                device: self.to_string(),
                reason: format!("has no number {number}; it is one device, number 0"),
            }),
        }
    }
}

/// A device that a user asks for: by name, or the fastest there is.
///
/// ```
/// use protovae_core::device::{DeviceChoice, DeviceName};
/// let choice: DeviceChoice = "auto".parse()?;
/// assert_eq!(choice.name(), DeviceName::fastest());
/// # Ok::<(), protovae_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// `auto`: [`DeviceName::fastest`].
    Auto,
    /// This one.
    Named(DeviceName),
}

impl DeviceChoice {
    /// The device chosen. `auto` asks the machine.
    pub fn name(self) -> DeviceName {
        match self {
            Self::Auto => DeviceName::fastest(),
            Self::Named(name) => name,
        }
    }
}

impl Default for DeviceChoice {
    fn default() -> Self {
        Self::Named(DeviceName::default())
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            name => Ok(Self::Named(name.parse()?)),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => write!(f, "auto"),
            Self::Named(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Libtorch => write!(f, "libtorch"),
            Self::LibtorchCuda(index) => write!(f, "libtorch:cuda:{index}"),
            Self::Wgpu(index) => write!(f, "wgpu:{index}"),
        }
    }
}

impl FromStr for DeviceName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            Error::Device {
            device: text.to_string(),
            reason: "unknown; it is one of cpu, cuda[:N], libtorch, libtorch:cuda[:N], wgpu[:N], and auto where the program \
                     may choose"
                .to_string(),
        }
        };
        let index = |digits: &str| digits.parse::<usize>().map_err(|_| unknown());
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            ["cpu"] => Ok(Self::Cpu),
            ["cuda"] => Ok(Self::Cuda(0)),
            ["cuda", n] => Ok(Self::Cuda(index(n)?)),
            ["libtorch"] | ["libtorch", "cpu"] => Ok(Self::Libtorch),
            ["libtorch", "cuda"] => Ok(Self::LibtorchCuda(0)),
            ["libtorch", "cuda", n] => Ok(Self::LibtorchCuda(index(n)?)),
            ["wgpu"] => Ok(Self::Wgpu(0)),
            ["wgpu", n] => Ok(Self::Wgpu(index(n)?)),
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for DeviceName {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn names_round_trip() {
        for text in [
            "cpu",
            "cuda:0",
            "cuda:3",
            "libtorch",
            "libtorch:cuda:1",
            "wgpu:0",
        ] {
            assert_eq!(text.parse::<DeviceName>().unwrap().to_string(), text);
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceName>().unwrap(), DeviceName::Cuda(0));
        assert_eq!("auto".parse::<DeviceChoice>().unwrap(), DeviceChoice::Auto);
        assert!("auto".parse::<DeviceName>().is_err());
    }

    #[test]
    fn unknown_names_list_the_known_ones() {
        for text in ["gpu", "cuda:x", "cpu:1", "", "libtorch:rocm"] {
            let message = text.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(message.contains("libtorch:cuda[:N]"), "{message}");
        }
    }

    /// The workspace pins one version; cargo does not tell a crate those of its dependencies.
    #[test]
    fn the_version_of_burn_is_the_one_built_with() {
        // As cargo says when it runs the test: with a shared target directory it may have been built in another checkout.
        let package = std::env::var_os("CARGO_MANIFEST_DIR");
        let package = package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let manifest = std::fs::read_to_string(package.join("../Cargo.toml")).unwrap();
        let pinned = format!("burn = {{ version = \"={BURN_VERSION}\"");
        assert!(manifest.contains(&pinned), "{pinned}");
    }
}
