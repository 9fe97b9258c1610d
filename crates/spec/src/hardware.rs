//! Names of processors and GPUs, from the texts in which Linux tells them.

/// The model of the processor, from the text of `/proc/cpuinfo`. `None` where the kernel names none, as on ARM.
pub fn processor(cpuinfo: &str) -> Option<String> {
    value(cpuinfo, "model name")
}

/// The product name of a GPU, from the text of `/proc/driver/nvidia/gpus/*/information`.
pub fn gpu(information: &str) -> Option<String> {
    value(information, "Model")
}

/// The identity of a GPU, as `CUDA_VISIBLE_DEVICES` may name it, from the same text.
pub fn gpu_uuid(information: &str) -> Option<String> {
    value(information, "GPU UUID")
}

/// Bytes of an amount, such as `MemTotal`, from the text of `/proc/meminfo`.
pub fn memory(meminfo: &str, key: &str) -> Option<u64> {
    let kib: u64 = value(meminfo, key)?.strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The value of the first line `key : value`, with single spaces.
fn value(text: &str, key: &str) -> Option<String> {
    let found = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.split_whitespace().collect::<Vec<_>>().join(" "))
    });
    found.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_their_absence_too() {
        let cpuinfo = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC  7B13\n";
        assert_eq!(processor(cpuinfo).as_deref(), Some("AMD EPYC 7B13"));
        assert_eq!(processor("processor\t: 0\nBogoMIPS\t: 50.00\n"), None);
        let information = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 120\nGPU UUID: \t GPU-5a\n";
        assert_eq!(gpu(information).as_deref(), Some("NVIDIA H100 80GB HBM3"));
        assert_eq!(gpu_uuid(information).as_deref(), Some("GPU-5a"));
        assert_eq!(gpu("Model: \n"), None);
        let meminfo = "MemTotal:       2097152 kB\nMemAvailable:    1024 kB\n";
        assert_eq!(
            ["MemTotal", "MemAvailable", "MemFree"].map(|key| memory(meminfo, key)),
            [Some(2 << 30), Some(1 << 20), None]
        );
    }
}
