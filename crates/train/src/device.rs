//! The device of a run, made ready before the first tensor.

use std::collections::BTreeSet;
use std::{env, fs};

use spec::hardware::{gpu, gpu_uuid, processor};
use spec::run::{Arithmetic, DeviceKind};
use tch::Device;

use crate::{TrainError, shim};

/// The version of libtorch, to which tch is tied one to one.
pub const LIBTORCH: &str = "2.11.0";

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

/// What it is, for people: the product name of the GPU, or the model of the processor. `None` where the system does not say.
pub(crate) fn hardware(device: Device) -> Option<String> {
    if let Device::Cpu = device {
        return processor(&fs::read_to_string("/proc/cpuinfo").ok()?);
    }
    let folders = fs::read_dir("/proc/driver/nvidia/gpus").ok()?.flatten();
    let known: Vec<String> =
        folders.filter_map(|folder| fs::read_to_string(folder.path().join("information")).ok()).collect();
    let visible = env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
    if let Some(ours) = known.iter().find(|one| gpu_uuid(one).is_some_and(|uuid| visible.contains(&uuid))) {
        return gpu(ours);
    }
    // Which of them it is is not known: their names, each once.
    let names: BTreeSet<String> = known.iter().filter_map(|one| gpu(one)).collect();
    Some(names.into_iter().collect::<Vec<_>>().join(" or ")).filter(|names| !names.is_empty())
}

/// Its name in the journal: `cpu` or `cuda:0`.
pub(crate) fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}
