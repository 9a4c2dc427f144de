//! Which device a program computes on, as a value that a command line can hold.
//!
//! Nothing here or elsewhere calls `burn::tensor::Device::default()`: that is the first backend that was *compiled in*,
//! present or not.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Runs `work` on one of the threads that compute, if the device is the CPU; else, and if there is nothing to gain, here.
///
/// Work on the CPU is cut into pieces for rayon's threads many times a step. A thread of rayon's own hands them out at
/// once; any other has to wake one, and is woken in turn, each time.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// let device = Device::flex();
/// let sum = protovae_core::device::on_workers(&device, || Tensor::<1>::ones([3], &device).sum());
/// assert_eq!(sum.into_scalar::<f32>(), 3.0);
/// ```
pub fn on_workers<T: Send>(device: &Device, work: impl FnOnce() -> T + Send) -> T {
    if device.clone().without_autodiff() == Device::flex() {
        rayon::scope(|scope| {
            let finished = Arc::new(AtomicBool::new(false));
            keep_awake(scope, &finished);
            let _finished = Finished(finished);
            work()
        })
    } else {
        work()
    }
}

/// How long a thread without work stays awake. Between a step's loops lie some ten microseconds each, in which rayon would send
/// its threads to sleep; waking them again costs as much.
const PATIENCE: Duration = Duration::from_millis(2);

/// Has the other threads of the pool look for work until `finished`, or until there was none for [`PATIENCE`].
///
/// The limit is not for thrift alone. A thread may come here while it waits for another piece of work, which it cannot go on
/// with before it leaves.
fn keep_awake<'scope>(scope: &rayon::Scope<'scope>, finished: &Arc<AtomicBool>) {
    let (here, finished) = (rayon::current_thread_index(), finished.clone());
    scope.spawn_broadcast(move |_, context| {
        if Some(context.index()) == here {
            return;
        }
        let mut latest = Instant::now();
        while !finished.load(Ordering::Relaxed) {
            if rayon::yield_now() == Some(rayon::Yield::Executed) {
                latest = Instant::now();
            } else if latest.elapsed() < PATIENCE {
                std::thread::yield_now();
            } else {
                return;
            }
        }
    });
}

/// Says so when it is dropped, also by a panic.
struct Finished(Arc<AtomicBool>);

impl Drop for Finished {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
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
    /// A GPU through Vulkan, Metal or DirectX by index; needs the cargo feature `wgpu`.
    Wgpu(usize),
}

impl DeviceName {
    /// The burn device without autodiff; ask it for [`Device::autodiff`] to train on it.
    ///
    /// # Errors
    /// [`Error::Device`] if the backend is not compiled in or the machine has no such device.
    pub fn resolve(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            Self::Cuda(index) => cuda(self, index),
            Self::Libtorch => libtorch(self, None),
            Self::LibtorchCuda(index) => libtorch(self, Some(index)),
            Self::Wgpu(index) => wgpu(self, index),
        }
    }

    /// The value of `BURN_DEVICE` that makes burn's own default agree with this device.
    ///
    /// Loading an optimizer's state materialises it on burn's default device first, so a program in which an
    /// accelerator is compiled in sets this variable before its first tensor.
    pub fn burn_name(self) -> &'static str {
        match self {
            Self::Cpu => "flex",
            Self::Cuda(_) => "cuda",
            Self::Libtorch | Self::LibtorchCuda(_) => "libtorch",
            Self::Wgpu(_) => "wgpu",
        }
    }

    /// Names of the backends compiled into this build, `cpu` first.
    pub fn compiled() -> Vec<&'static str> {
        let mut names = vec!["cpu"];
        if cfg!(feature = "cuda") {
            names.push("cuda");
        }
        if cfg!(feature = "libtorch") {
            names.push("libtorch");
        }
        if cfg!(feature = "wgpu") {
            names.push("wgpu");
        }
        names
    }
}

#[allow(dead_code)] // Each build without a backend needs it, a build with all of them does not.
fn not_compiled(name: DeviceName, feature: &str) -> Error {
    Error::Device {
        device: name.to_string(),
        reason: format!(
            "this build was made without it (it has {}); build with `--features {feature}`",
            DeviceName::compiled().join(", ")
        ),
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu", feature = "libtorch"))]
fn missing(name: DeviceName, found: usize, what: &str) -> Error {
    Error::Device {
        device: name.to_string(),
        reason: format!(
            "{found} {what} found on this machine; use `--device cpu`, or check the driver"
        ),
    }
}

#[cfg(feature = "cuda")]
fn cuda(name: DeviceName, index: usize) -> Result<Device> {
    use burn::tensor::DeviceType;
    let found = Device::enumerate(DeviceType::Cuda).into_vec().len();
    if index < found {
        Ok(Device::cuda(index))
    } else {
        Err(missing(name, found, "CUDA devices"))
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda(name: DeviceName, _index: usize) -> Result<Device> {
    Err(not_compiled(name, "cuda"))
}

// The only place that touches burn-tch, which is deprecated upstream.
#[cfg(feature = "libtorch")]
#[allow(deprecated)]
fn libtorch(name: DeviceName, cuda: Option<usize>) -> Result<Device> {
    use burn::tensor::DeviceType;
    match cuda {
        None => Ok(Device::libtorch()),
        Some(index) => {
            let found = Device::enumerate(DeviceType::LibTorch).into_vec().len();
            if index < found {
                Ok(Device::libtorch_cuda(index))
            } else {
                Err(missing(name, found, "libtorch CUDA devices"))
            }
        }
    }
}

#[cfg(not(feature = "libtorch"))]
fn libtorch(name: DeviceName, _cuda: Option<usize>) -> Result<Device> {
    Err(not_compiled(name, "libtorch"))
}

#[cfg(feature = "wgpu")]
fn wgpu(name: DeviceName, index: usize) -> Result<Device> {
    use burn::tensor::{DeviceKind, DeviceType};
    let found = Device::enumerate(DeviceType::Wgpu).into_vec().len();
    if index < found {
        Ok(Device::wgpu(if index == 0 {
            DeviceKind::DefaultDevice
        } else {
            DeviceKind::DiscreteGpu(index)
        }))
    } else {
        Err(missing(name, found, "wgpu adapters"))
    }
}

#[cfg(not(feature = "wgpu"))]
fn wgpu(name: DeviceName, _index: usize) -> Result<Device> {
    Err(not_compiled(name, "wgpu"))
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
        let unknown = || Error::Device {
            device: text.to_string(),
            reason: "unknown; it is one of cpu, cuda[:N], libtorch, libtorch:cuda[:N], wgpu[:N]"
                .to_string(),
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
        }
        assert_eq!("cuda".parse::<DeviceName>().unwrap(), DeviceName::Cuda(0));
    }

    /// More callers than threads, all with loops in loops: each waits for work under which others' may lie.
    #[test]
    fn many_callers_at_once_all_come_to_an_end() {
        use rayon::prelude::*;
        let device = Device::flex();
        let sum = || -> u64 {
            let inner = |from: u64| (from..from + 64).into_par_iter().sum::<u64>();
            (0..64).into_par_iter().map(|block| inner(64 * block)).sum()
        };
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let found = on_workers(&device, || on_workers(&device, sum) + sum());
                        assert_eq!(found, 2 * (4095 * 4096 / 2));
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_passes_through() {
        let device = Device::flex();
        let caught = std::panic::catch_unwind(|| on_workers(&device, || panic!("on purpose")));
        assert!(caught.is_err());
    }

    #[test]
    fn unknown_names_list_the_known_ones() {
        for text in ["gpu", "cuda:x", "cpu:1", "", "libtorch:rocm"] {
            let message = text.parse::<DeviceName>().unwrap_err().to_string();
            assert!(message.contains("libtorch:cuda[:N]"), "{message}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_says_so() {
        let message = DeviceName::Cuda(0).resolve().unwrap_err().to_string();
        assert!(message.contains("--features cuda"), "{message}");
    }
}
