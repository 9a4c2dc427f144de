//! libtorch through burn-tch, which is deprecated upstream: no other module touches it, so that it can go with burn 0.23.

#![allow(deprecated)]

use burn::tensor::{Device, DeviceType};

/// libtorch on the CPU.
pub fn cpu() -> Device {
    Device::libtorch()
}

/// The NVIDIA GPUs that libtorch sees: none with a libtorch for the CPU.
pub fn cuda() -> Vec<Device> {
    (0..Device::enumerate(DeviceType::LibTorch).len())
        .map(Device::libtorch_cuda)
        .collect()
}
