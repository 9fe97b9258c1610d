//! The one place with unsafe code: what tch does not reach.

#![expect(unsafe_code, reason = "calls into C++ and the dynamic linker; each block says why it is sound")]

use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use tch::{Device, Kind, TchError, Tensor};

unsafe extern "C" {
    fn scalelaw_configure(deterministic: std::ffi::c_int) -> std::ffi::c_int;
    fn scalelaw_aside(device: std::ffi::c_int, aside: std::ffi::c_int) -> std::ffi::c_int;
}

/// Bytes as floats of the given shape, in one pass that reads them where they are.
///
/// # Errors
/// If the shape has another number of elements.
pub(crate) fn floats_of(bytes: &[u8], shape: &[i64]) -> Result<Tensor, TchError> {
    let elements = shape.iter().try_fold(1_i64, |product, length| product.checked_mul(*length));
    if elements != i64::try_from(bytes.len()).ok() || shape.iter().any(|length| *length < 0) {
        return Err(TchError::Shape(format!("{} bytes for shape {shape:?}", bytes.len())));
    }
    let strides: Vec<i64> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
    // SAFETY: the tensor reads as many bytes as the slice has, by the check above; nothing writes through it; and it is gone
    // before this function returns, while what is returned is of another kind and so has memory of its own.
    let borrowed = unsafe { Tensor::f_from_blob(bytes.as_ptr(), shape, &strides, Kind::Uint8, Device::Cpu) }?;
    borrowed.f_to_kind(Kind::Float)
}

/// What a GPU is given inside `give` runs beside what it was given before, on a stream of its own. The caller waits for the
/// whole device before what comes out is used. On the CPU there is one order, and `give` is just called.
pub(crate) fn aside<T>(device: Device, give: impl FnOnce() -> T) -> T {
    let Device::Cuda(index) = device else { return give() };
    let Ok(index) = std::ffi::c_int::try_from(index) else { return give() };
    // SAFETY: takes and returns numbers and catches every C++ exception; it changes the current stream of this thread only.
    // Where it is refused, everything stays on one stream, which is slower and as right.
    let changed = unsafe { scalelaw_aside(index, 1) } == 0;
    let given = give();
    if changed {
        // SAFETY: as above.
        unsafe { scalelaw_aside(index, 0) };
    }
    given
}

/// Makes libtorch compute 32-bit floats as such on every device and, where it is to be `deterministic`, refuse operations that
/// may give other bits from one time to the next. False if libtorch refused.
pub(crate) fn configure(deterministic: bool) -> bool {
    // SAFETY: takes and returns a number, catches every C++ exception, and nothing else is in libtorch at this time: it is
    // called before the first tensor.
    let status = unsafe { scalelaw_configure(deterministic.into()) };
    status == 0
}

/// Loads libtorch's CUDA backend into this process, for good. It must come before anything that asks about CUDA, because a
/// "no" is remembered.
///
/// # Errors
/// Says what is missing: the driver, or a library of the backend.
pub(crate) fn load_cuda() -> Result<(), String> {
    open(Path::new("libcuda.so.1")).map_err(|error| format!("no NVIDIA driver: {error}"))?;
    let backend = libtorch()?.join("libtorch_cuda.so");
    open(&backend).map_err(|error| format!("cannot load {}: {error}", backend.display()))
}

fn open(path: &Path) -> Result<(), libloading::Error> {
    // SAFETY: both libraries are made to be loaded at any time; their initialisers register kernels and touch nothing of
    // ours. The handle is never closed, so nothing of them is ever unmapped.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }?;
    std::mem::forget(library);
    Ok(())
}

/// The folder of the libtorch that this process has loaded.
fn libtorch() -> Result<PathBuf, String> {
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|error| format!("/proc/self/maps: {error}"))?;
    let path = maps.lines().find_map(|line| {
        // Five fields stand before the path, which may hold spaces.
        let path = Path::new(line.splitn(6, ' ').last()?.trim_start());
        (path.file_name()? == "libtorch_cpu.so").then(|| path.parent().map(Path::to_owned))?
    });
    path.ok_or_else(|| "libtorch_cpu.so is not among the loaded libraries".to_owned())
}
