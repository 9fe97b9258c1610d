//! Parameters in files: safetensors by name, written so that a crash leaves the old file or the new one.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::TrainError;
use crate::parameters::Declared;

/// A safetensors file with the parameters in `declared` once for each of `vectors`: a prefix to their names and the bytes of all
/// of them as 32-bit floats, in the order of `declared`.
pub(crate) fn serialise(
    declared: &[Declared],
    vectors: &[(String, Vec<u8>)],
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>, TrainError> {
    let mut views = BTreeMap::new();
    let mut at = 0;
    for one in declared {
        let shape: Vec<usize> = one.shape.iter().map(|size| *size as usize).collect();
        let end = at + 4 * shape.iter().product::<usize>();
        for (prefix, all) in vectors {
            let view = TensorView::new(Dtype::F32, shape.clone(), &all[at..end]);
            views.insert(format!("{prefix}{}", one.name), view.map_err(|error| TrainError::Spec(error.to_string()))?);
        }
        at = end;
    }
    safetensors::serialize(&views, metadata).map_err(|error| TrainError::Spec(error.to_string()))
}

/// The values of all parameters in `declared`, whose names in the file begin with `prefix`.
pub(crate) fn values(tensors: &SafeTensors<'_>, declared: &[Declared], prefix: &str) -> Result<Vec<f32>, String> {
    let mut all = Vec::new();
    for one in declared {
        let (shape, values) = tensor(tensors, &format!("{prefix}{}", one.name))?;
        if shape != one.shape {
            return Err(format!("{} is of shape {shape:?}, expected {:?}", one.name, one.shape));
        }
        all.extend(values);
    }
    Ok(all)
}

/// Shape and values of one tensor of 32-bit floats.
pub(crate) fn tensor(tensors: &SafeTensors<'_>, name: &str) -> Result<(Vec<i64>, Vec<f32>), String> {
    let view = tensors.tensor(name).map_err(|_| format!("there is no {name}"))?;
    if view.dtype() != Dtype::F32 {
        return Err(format!("{name} is of type {:?}, expected 32-bit floats", view.dtype()));
    }
    let shape = view.shape().iter().map(|size| *size as i64).collect();
    Ok((shape, floats(view.data()).collect()))
}

/// The 32-bit floats in these bytes.
pub(crate) fn floats(data: &[u8]) -> impl Iterator<Item = f32> {
    data.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// What follows the header of a safetensors file: all values.
pub(crate) fn data(content: &[u8]) -> &[u8] {
    let header = content.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length));
    content.get(8_usize.saturating_add(header as usize)..).unwrap_or_default()
}

/// Writes a file that is at any time the old one or the new one, whole.
pub(crate) fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".tmp");
    let partial = Path::new(&partial);
    write_synced(partial, content)?;
    std::fs::rename(partial, path)?;
    sync_folder(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

pub(crate) fn write_synced(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

pub(crate) fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}
