//! The device of a run, made ready before the first tensor.

use spec::run::{Arithmetic, DeviceKind};
use tch::Device;

use crate::{TrainError, shim};

/// Makes the device ready that `arithmetic` asks for, and libtorch deterministic where it is to be. Must be called before
/// anything else of libtorch.
///
/// # Errors
/// If there is no such device here.
pub fn prepare(arithmetic: &Arithmetic) -> Result<Device, TrainError> {
    if !shim::configure(arithmetic.deterministic) {
        return Err(TrainError::Spec("libtorch does not take its settings".to_owned()));
    }
    match arithmetic.device {
        DeviceKind::Cpu => Ok(Device::Cpu),
        DeviceKind::Cuda => {
            shim::load_cuda().map_err(TrainError::Device)?;
            match tch::Cuda::is_available() {
                // The scheduler shows each worker one device.
                true => Ok(Device::Cuda(0)),
                false => Err(TrainError::Device("CUDA is loaded, but there is no GPU that may be used".to_owned())),
            }
        }
    }
}

/// How many GPUs can be used here; 0 without a driver.
pub fn gpus() -> i64 {
    if shim::load_cuda().is_err() { 0 } else { tch::Cuda::device_count() }
}

/// Waits until the device has done what it was given, so that the clock tells how long that took.
pub(crate) fn wait(device: Device) {
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(index as i64);
    }
}

/// Its name in the journal: `cpu` or `cuda:0`.
pub(crate) fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}
