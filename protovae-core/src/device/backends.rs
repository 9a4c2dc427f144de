//! The devices that this build can use and this machine has.

use burn::tensor::Device;

use super::{Backend, DeviceName};
use crate::error::{Error, Result};
use crate::precision::Precision;

impl DeviceName {
    /// The burn device without autodiff; ask it for [`Device::autodiff`] to train on it.
    ///
    /// # Errors
    /// [`Error::Device`] if the backend is not compiled in or the machine has no such device.
    pub fn resolve(self) -> Result<Device> {
        let backend = self.backend();
        if !backend.is_compiled() {
            return Err(not_compiled(self, backend));
        }
        let (mut devices, index) = match self {
            Self::Cpu => (vec![Device::flex()], 0),
            Self::Cuda(index) => (cuda(), index),
            Self::Libtorch => (libtorch_cpu(), 0),
            Self::LibtorchCuda(index) => (libtorch_cuda(), index),
            Self::Wgpu(index) => (
                wgpu().into_iter().map(|found| found.device).collect(),
                index,
            ),
        };
        if index < devices.len() {
            Ok(devices.swap_remove(index))
        } else {
            Err(missing(self, devices.len()))
        }
    }

    /// Checks that the device computes in that precision, and not only by way of 32 bits.
    ///
    /// # Errors
    /// [`Error::Device`] if it does not, or is not there.
    ///
    /// ```
    /// use protovae_core::Precision;
    /// use protovae_core::device::DeviceName;
    /// DeviceName::Cpu.check_precision(Precision::F32)?;
    /// assert!(DeviceName::Cpu.check_precision(Precision::Bf16).is_err());
    /// # Ok::<(), protovae_core::Error>(())
    /// ```
    pub fn check_precision(self, precision: Precision) -> Result<()> {
        let by_way_of_f32 = self == Self::Cpu;
        if !precision.is_lower()
            || (!by_way_of_f32 && self.resolve()?.supports_dtype(precision.float()))
        {
            return Ok(());
        }
        let why = if by_way_of_f32 {
            "computes it by way of f32, which is slower than f32 and no better for it"
        } else {
            "does not have it"
        };
        Err(Error::Device {
            device: self.to_string(),
            reason: format!("no {precision}: this device {why}; use `--precision f32`"),
        })
    }

    /// All devices that this build can use and this machine has, those that should be fastest first: GPUs, the CPU with
    /// this project's kernels, libtorch on the CPU, and GPUs that `wgpu` only imitates on the CPU.
    ///
    /// ```
    /// use protovae_core::device::DeviceName;
    /// assert!(DeviceName::found().contains(&DeviceName::Cpu));
    /// ```
    pub fn found() -> Vec<Self> {
        let adapters = wgpu();
        // GPUs lie before what is none; see `wgpu`.
        let gpus = adapters.iter().filter(|adapter| adapter.gpu).count();
        let mut found: Vec<Self> = (0..cuda().len()).map(Self::Cuda).collect();
        found.extend((0..gpus).map(Self::Wgpu));
        found.extend((0..libtorch_cuda().len()).map(Self::LibtorchCuda));
        found.push(Self::Cpu);
        found.extend(libtorch_cpu().iter().map(|_| Self::Libtorch));
        found.extend((gpus..adapters.len()).map(Self::Wgpu));
        found
    }

    /// The first of [`DeviceName::found`].
    ///
    /// ```
    /// use protovae_core::device::DeviceName;
    /// assert!(DeviceName::fastest().resolve().is_ok());
    /// ```
    pub fn fastest() -> Self {
        Self::found().first().copied().unwrap_or_default()
    }
}

fn not_compiled(name: DeviceName, backend: Backend) -> Error {
    let compiled = Backend::ALL
        .into_iter()
        .filter(|backend| backend.is_compiled());
    let compiled: Vec<&str> = compiled.map(Backend::name).collect();
    let backend = backend.name();
    Error::Device {
        device: name.to_string(),
        reason: format!(
            "this build was made without {backend} (it has {}); build with `--features {backend}`",
            compiled.join(", "),
        ),
    }
}

fn missing(name: DeviceName, found: usize) -> Error {
    let (what, advice) = match name {
        DeviceName::Cuda(_) => (
            "NVIDIA GPUs",
            "`nvidia-smi` must list the card, so install NVIDIA's driver",
        ),
        DeviceName::LibtorchCuda(_) => (
            "GPUs of libtorch's",
            "build with a libtorch for CUDA and install NVIDIA's driver",
        ),
        _ => (
            "adapters for wgpu",
            "install the graphics card's driver for Vulkan",
        ),
    };
    let found = match found {
        0 => "no".to_string(),
        count => format!("only {count}"),
    };
    Error::Device {
        device: name.to_string(),
        reason: format!("this machine has {found} {what}; {advice}, or use `--device cpu`"),
    }
}

#[cfg(feature = "cuda")]
fn cuda() -> Vec<Device> {
    Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec()
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Vec<Device> {
    Vec::new()
}

#[cfg(feature = "libtorch")]
use super::libtorch::cuda as libtorch_cuda;

#[cfg(feature = "libtorch")]
fn libtorch_cpu() -> Vec<Device> {
    vec![super::libtorch::cpu()]
}

#[cfg(not(feature = "libtorch"))]
fn libtorch_cuda() -> Vec<Device> {
    Vec::new()
}

#[cfg(not(feature = "libtorch"))]
fn libtorch_cpu() -> Vec<Device> {
    Vec::new()
}

/// Something that draws, or computes, for wgpu.
struct Adapter {
    device: Device,
    /// Whether it is a GPU rather than a program that imitates one on the CPU.
    gpu: bool,
}

/// GPUs first.
#[cfg(feature = "wgpu")]
fn wgpu() -> Vec<Adapter> {
    use burn::tensor::{DeviceKind, DeviceType};
    let imitated = Device::wgpu(DeviceKind::Cpu);
    let found = Device::enumerate(DeviceType::Wgpu).into_iter();
    let mut found: Vec<Adapter> = found
        .map(|device| Adapter {
            gpu: device != imitated,
            device,
        })
        .collect();
    found.sort_by_key(|adapter| !adapter.gpu);
    found
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Vec<Adapter> {
    Vec::new()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_always_there() {
        assert_eq!(DeviceName::Cpu.resolve().unwrap(), Device::flex());
        for name in DeviceName::found() {
            assert!(name.resolve().is_ok(), "{name}");
            assert!(name.backend().is_compiled(), "{name}");
        }
    }

    #[test]
    fn a_build_without_a_backend_says_how_to_get_it() {
        for name in [
            DeviceName::Cuda(0),
            DeviceName::Libtorch,
            DeviceName::LibtorchCuda(0),
            DeviceName::Wgpu(0),
        ] {
            if !name.backend().is_compiled() {
                let message = name.resolve().unwrap_err().to_string();
                let expected = format!("--features {}", name.backend().name());
                assert!(message.contains(&expected), "{message}");
            }
        }
    }

    /// No machine has a hundred.
    #[test]
    fn a_gpu_that_is_not_there_is_refused() {
        for name in [
            DeviceName::Cuda(99),
            DeviceName::LibtorchCuda(99),
            DeviceName::Wgpu(99),
        ] {
            let message = name.resolve().unwrap_err().to_string();
            if name.backend().is_compiled() {
                assert!(message.contains("--device cpu"), "{message}");
            }
        }
    }
}
