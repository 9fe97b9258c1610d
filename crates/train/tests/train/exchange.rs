//! Weights to timm and back. With `SCALELAW_EXPORTS=FOLDER` the exports stay there for `scripts/check_export.py`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use spec::run::{MemoryFormat, RunSpec, SPEC_SCHEMA, SpecFile};
use tch::{Device, Tensor};
use train::exchange::{self, export, import};
use train::network::{Mode, Network, declare};
use train::parameters::{Parameters, bytes};
use train::weights::{self, Origin};

use crate::{check_close, numbers, tensor, values};

/// A run of this network on pictures of three channels and five classes.
fn run_of(model: &Value, resolution: u32) -> SpecFile {
    let run: RunSpec = serde_json::from_value(json!({
        "model": model,
        "data": {
            "dataset": "random", "fingerprint": "", "train_examples": 8, "heldout_examples": 4, "channels": 3,
            "resolution": resolution, "heldout_resolution": resolution, "classes": 5, "mean": 0.3, "std": 0.4,
        },
        "train": {
            "epochs": 1.0, "batch": 4, "lr": 0.1, "warmup_steps": 0,
            "optimizer": { "name": "sgd", "momentum": 0.9, "weight_decay": 0.0, "agc": { "lambda": 0.1, "eps": 1e-3 } },
            "label_smoothing": 0.0, "augment": { "crop_padding": 0, "flip": false }, "evaluations": 0,
            "divergence": 2.0, "threads": 1,
        },
        "seed": 0,
    }))
    .expect("a run");
    SpecFile { schema: SPEC_SCHEMA, run_id: run.id(), run }
}

fn nfnet(stem: &[(u32, u32)], widths: &[u32], strides: &[u32], group_width: u32, bottleneck: &str) -> Value {
    let stem: Vec<Value> =
        stem.iter().map(|(channels, stride)| json!({ "channels": channels, "stride": stride })).collect();
    json!({
        "family": "nfnet", "depths": &[1, 2, 2, 1][..widths.len()], "widths": widths, "strides": strides, "stem": stem,
        "group_width": group_width, "bottleneck": bottleneck, "alpha": 0.2, "initial_skip_gain": 0.0, "dropout": 0.0,
    })
}

fn vit(pooling: &str, heads: u32) -> Value {
    json!({ "family": "vit", "patch": 4, "width": 16, "depth": 2, "mlp": 37, "heads": heads, "pooling": pooling })
}

/// The networks of the parity fixtures, and how large their pictures are.
fn fixtures() -> [(&'static str, Value, u32); 3] {
    let deep = nfnet(&[(2, 2), (4, 1), (8, 1), (16, 2)], &[16, 16, 32, 32], &[1, 2, 2, 2], 8, "kept");
    let vit = |pooling| {
        let mut vit = vit(pooling, 2);
        vit["mlp"] = json!(32);
        vit
    };
    [("nfnet", deep, 36), ("vit-map", vit("map"), 12), ("vit-token", vit("class-token"), 12)]
}

/// The networks that timm can build, and how large their pictures are.
fn networks() -> Vec<(&'static str, Value, u32)> {
    vec![
        ("nfnet-quad", nfnet(&[(2, 2), (4, 1), (8, 1), (16, 2)], &[16, 16, 32, 32], &[1, 2, 2, 2], 8, "kept"), 36),
        ("nfnet-single", nfnet(&[(16, 2)], &[16, 32, 64], &[2, 2, 2], 8, "kept"), 28),
        ("nfnet-floored", nfnet(&[(8, 2), (8, 1), (16, 1)], &[24, 40], &[2, 2], 8, "floored"), 32),
        ("nfnet-kept", nfnet(&[(9, 2), (12, 1), (24, 1)], &[24, 48], &[2, 2], 8, "kept"), 32),
        ("vit-map", vit("map", 2), 12),
        ("vit-token", vit("class-token", 2), 12),
    ]
}

fn of(file: &SpecFile, seed: u64) -> Parameters {
    let data = &file.run.data;
    let layout = file.run.model.layout(data.channels, data.resolution, data.classes).expect("buildable");
    let mut parameters = Parameters::new(declare(&layout), seed, Device::Cpu).expect("memory");
    // Nothing stays at its initial zero.
    let stir = tensor(&numbers(parameters.len() as usize, seed), &[parameters.len()]) * 0.3;
    let stirred = parameters.flat().detach_copy() + stir;
    parameters.load(&stirred).expect("as many numbers");
    parameters
}

/// The folder of a finished run with these weights.
fn finished(root: &Path, file: &SpecFile, parameters: &Parameters) -> PathBuf {
    let run = root.join(file.run_id.to_string());
    fs::create_dir_all(&run).expect("writable");
    weights::write(&run, file.run_id, parameters, Origin::Trained).expect("writable");
    run
}

fn logits(file: &SpecFile, parameters: &Parameters, pictures: &Tensor) -> Tensor {
    let data = &file.run.data;
    let layout = file.run.model.layout(data.channels, data.resolution, data.classes).expect("buildable");
    let network = Network::new(&layout, parameters, MemoryFormat::ChannelsLast).expect("declared");
    network.forward(parameters, pictures, Mode::Evaluate).expect("the right shape")
}

/// Owned tensors of a file: type, shape, bytes.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn read(path: &Path) -> Tensors {
    let content = fs::read(path).expect("written");
    let tensors = SafeTensors::deserialize(&content).expect("of the form");
    let owned = |view: &TensorView<'_>| (view.dtype(), view.shape().to_vec(), view.data().to_vec());
    tensors.tensors().iter().map(|(name, view)| (name.clone(), owned(view))).collect()
}

fn save(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name.clone(), TensorView::new(*dtype, shape.clone(), data).expect("as many bytes"))
    });
    fs::write(path, safetensors::serialize(views, None).expect("of the form")).expect("writable");
}

fn floats(tensor: &Tensor) -> (Dtype, Vec<usize>, Vec<u8>) {
    (Dtype::F32, tensor.size().iter().map(|size| *size as usize).collect(), bytes(tensor).expect("readable"))
}

#[test]
fn what_is_exported_and_imported_again_is_the_same_to_the_last_bit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kept = std::env::var_os("SCALELAW_EXPORTS").map(PathBuf::from);
    let out = kept.as_deref().unwrap_or(folder.path());
    for (seed, (name, model, side)) in (1..).zip(networks()) {
        let file = run_of(&model, side);
        let parameters = of(&file, seed);
        let run = finished(folder.path(), &file, &parameters);
        let before = read(&run.join(weights::FILE));
        let to = out.join(name);
        let exported = export(&file, &run, &to, true).expect("exportable");
        assert_eq!(exported.obstacle, None, "{name}");

        let refusal = import(&file, &to, &run, false).expect_err("there are weights").to_string();
        assert!(refusal.contains("already there") && refusal.contains("--force"), "{refusal}");
        fs::remove_file(run.join(weights::FILE)).expect("there");
        assert_eq!(import(&file, &to, &run, false).expect("the same network"), Vec::<String>::new(), "{name}");
        assert!(read(&run.join(weights::FILE)) == before, "{name}");
        let notes = import(&file, &to.join(exchange::MODEL), &run, true).expect("a file will do");
        assert_eq!(notes.len(), 1, "without config.json nothing says what timm computes: {notes:?}");
        assert!(read(&run.join(weights::FILE)) == before, "{name}");

        let pictures = tensor(&numbers(3 * 3 * (side * side) as usize, 7), &[3, 3, side.into(), side.into()]);
        let sample = [("input", &pictures), ("logits", &logits(&file, &parameters, &pictures))];
        let sample = sample.map(|(name, tensor)| (name.to_owned(), floats(tensor)));
        save(&to.join("sample.safetensors"), &sample.into());
    }
}

#[test]
fn an_export_says_what_to_ask_timm_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = |model: &Value, side: u32| {
        let file = run_of(model, side);
        let run = finished(folder.path(), &file, &of(&file, 1));
        let to = folder.path().join("out");
        let exported = export(&file, &run, &to, true).expect("exportable");
        let text = fs::read_to_string(to.join(exchange::CONFIG)).expect("written");
        (serde_json::from_str::<Value>(&text).expect("JSON"), exported, read(&to.join(exchange::MODEL)))
    };

    let (_, model, side) = networks().swap_remove(1);
    let (found, exported, tensors) = config(&model, side);
    assert_eq!(found["architecture"], "dm_nfnet_f0");
    assert_eq!((&found["num_classes"], &found["num_features"]), (&json!(5), &json!(128)));
    assert_eq!(
        found["model_args"],
        json!({
            "depths": [1, 2, 2], "channels": [16, 32, 64], "stem_type": "3x3", "stem_chs": 16, "group_size": 8, "ch_div": 1,
            "num_features": 128, "attn_kwargs": { "rd_ratio": 0.5, "rd_divisor": 1 }, "alpha": 0.2, "std_conv_eps": 1e-12,
            "in_chans": 3,
        })
    );
    assert!(exported.differences[0].starts_with("GELU"), "{:?}", exported.differences);
    assert_eq!(exported.differences.len(), 1);
    let shape = |name: &str| tensors[name].1.clone();
    assert_eq!(shape("stem.conv.gain"), [16, 1, 1, 1]);
    assert_eq!(shape("stages.0.0.skipinit_gain"), [0; 0]);
    assert_eq!(shape("stages.0.0.attn_last.fc1.weight"), [8, 16, 1, 1]);

    let (found, exported, _) = config(&vit("map", 2), 12);
    assert_eq!(found["architecture"], "vit_base_patch16_224");
    let args = &found["model_args"];
    assert_eq!((&args["global_pool"], &args["class_token"]), (&json!("map"), &json!(false)));
    assert_eq!((16.0 * args["mlp_ratio"].as_f64().expect("a number")) as u32, 37);
    assert_eq!(exported.differences, Vec::<String>::new());

    for (model, why) in [
        (nfnet(&[(4, 2), (6, 1)], &[8, 16], &[1, 2], 2, "kept"), "a stem of 4 at stride 2, 6 at stride 1"),
        (nfnet(&[(16, 2)], &[16, 32], &[1, 2], 8, "kept"), "strides [2, 2], not [1, 2]"),
        (nfnet(&[(16, 2)], &[24, 32], &[2, 2], 8, "kept"), "a bottleneck of 12 channels to groups of 8"),
        (nfnet(&[(16, 1)], &[24, 32], &[2, 2], 8, "kept"), "a stem of 16 at stride 1 is none"),
    ] {
        let (found, exported, _) = config(&model, 24);
        assert_eq!(found["architecture"], Value::Null);
        assert_eq!(exported.differences, Vec::<String>::new(), "there is nothing to compare with");
        let obstacle = exported.obstacle.expect("timm has none");
        assert!(obstacle.contains(why), "{obstacle}");
    }
}

#[test]
fn channels_under_the_floor_of_standardisation_are_counted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_, model, side) = networks().swap_remove(1);
    let file = run_of(&model, side);
    let parameters = of(&file, 1);
    let stem = parameters.index("stem.conv1.weight").expect("there");
    // Two channels with the same weight everywhere: nothing is left when the mean is taken away.
    let _ = tch::no_grad(|| parameters.views()[stem].narrow(0, 3, 2).fill_(0.25));
    let run = finished(folder.path(), &file, &parameters);
    let exported = export(&file, &run, &folder.path().join("out"), false).expect("exportable");
    assert!(exported.differences[1].contains("2 channels"), "{:?}", exported.differences);
}

#[test]
fn weights_that_timm_wrote_compute_what_timm_computes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, model, side) in fixtures() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.safetensors"));
        let fixture = read(&path);
        let theirs =
            fixture.iter().filter_map(|(name, one)| Some((name.strip_prefix("weight/")?.to_owned(), one.clone())));
        let from = folder.path().join(format!("{name}.safetensors"));
        save(&from, &theirs.collect());

        let file = run_of(&model, side);
        let run = folder.path().join(name);
        fs::create_dir(&run).expect("writable");
        import(&file, &from, &run, false).expect("the same network");
        let found = read(&run.join(weights::FILE));
        let mut parameters = of(&file, 1);
        let values_of = |one: &(Dtype, Vec<usize>, Vec<u8>)| -> Vec<f64> {
            let numbers = one.2.chunks_exact(4);
            numbers.map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four")).into()).collect()
        };
        let all: Vec<f64> = parameters.declared().iter().flat_map(|one| values_of(&found[&one.name])).collect();
        parameters.load(&tensor(&all, &[all.len() as i64])).expect("as many numbers");
        let pictures = tensor(&values_of(&fixture["input"]), &[3, 3, side.into(), side.into()]);
        let expected = values_of(&fixture["logits"]);
        check_close(&values(&logits(&file, &parameters, &pictures)), &expected, 1e-4, &format!("{name}: logits"));
    }
}

#[test]
fn what_is_no_checkpoint_of_the_network_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = run_of(&vit("map", 2), 12);
    let run = finished(folder.path(), &file, &of(&file, 1));
    let (from, empty) = (folder.path().join("from"), folder.path().join("empty"));
    fs::create_dir(&empty).expect("writable");
    export(&file, &run, &from, false).expect("exportable");
    let refusal = export(&file, &run, &from, false).expect_err("it is there").to_string();
    assert!(refusal.contains("model.safetensors: already there"), "{refusal}");
    let refusal = export(&file, &empty, &from, true).expect_err("no weights").to_string();
    assert!(refusal.contains("weights.safetensors: not there; only a finished run has weights"), "{refusal}");

    let original = read(&from.join(exchange::MODEL));
    let changed = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = original.clone();
        change(&mut tensors);
        let path = folder.path().join("changed.safetensors");
        save(&path, &tensors);
        import(&file, &path, &run, true).map(|_| ()).map_err(|error| error.to_string())
    };
    let refused = |change: &dyn Fn(&mut Tensors), expected: &str| {
        let refusal = changed(change).expect_err("refused");
        assert!(refusal.contains("changed.safetensors: ") && refusal.contains(expected), "{refusal}");
    };
    let before = fs::read(run.join(weights::FILE)).expect("written");
    refused(
        &|tensors| {
            let head = tensors.remove("head.weight").expect("there");
            tensors.insert("head.fc.weight".to_owned(), head);
        },
        "weights of another architecture: 1 missing (head.weight), 1 superfluous (head.fc.weight); take a spec.json",
    );
    refused(
        &|tensors| tensors.retain(|name, _| !name.starts_with("blocks.1.")),
        "12 missing (blocks.1.norm1.weight, blocks.1.norm1.bias, blocks.1.attn.qkv.weight, ...)",
    );
    refused(
        &|tensors| tensors.get_mut("head.weight").expect("there").1 = vec![16, 5],
        "1 misshapen (head.weight [16, 5] instead of [5, 16])",
    );
    for bad in [f32::NAN, f32::INFINITY] {
        refused(
            &|tensors| tensors.get_mut("norm.bias").expect("there").2[8..12].copy_from_slice(&bad.to_le_bytes()),
            "norm.bias has values that are not finite",
        );
    }
    refused(
        &|tensors| *tensors.get_mut("norm.bias").expect("there") = (Dtype::F64, vec![16], vec![0; 128]),
        "norm.bias is of type F64; convert it to floats of 16 or 32 bits",
    );
    let refusal = import(&file, &empty, &run, true).expect_err("no file").to_string();
    assert!(
        refusal.contains("empty/model.safetensors: No such file") && refusal.contains("name a folder"),
        "{refusal}"
    );
    fs::write(empty.join(exchange::MODEL), "no tensors").expect("writable");
    let refusal = import(&file, &empty, &run, true).expect_err("no such form").to_string();
    assert!(refusal.contains("is it whole, and of the form safetensors?"), "{refusal}");
    // Of the same shapes, but not the same network: config.json tells.
    let other = run_of(&vit("map", 4), 12);
    let refusal = import(&other, &from, &run, true).expect_err("other heads").to_string();
    assert!(refusal.contains("config.json: ") && refusal.contains("heads is 2, expected 4"), "{refusal}");
    fs::write(from.join(exchange::CONFIG), r#"{"model_args": {"num_heads": 2.0}}"#).expect("writable");
    let refusal = import(&other, &from, &run, true).expect_err("other heads").to_string();
    assert!(refusal.contains("num_heads is 2.0, expected 4"), "{refusal}");
    assert!(fs::read(run.join(weights::FILE)).expect("still there") == before, "a refusal changes nothing");
    let notes = import(&file, &from, &run, true).expect("the same network");
    assert!(notes[0].contains("exact GELU"), "{notes:?}");
}

#[test]
fn floats_of_16_bits_are_widened() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = run_of(&vit("class-token", 2), 12);
    let run = finished(folder.path(), &file, &of(&file, 1));
    export(&file, &run, &folder.path().join("from"), false).expect("exportable");
    let mut tensors = read(&folder.path().join("from").join(exchange::MODEL));
    // 1, -2.5, the smallest and the largest number of F16; 1, -2.5, 3.140625 and 0 of BF16.
    let half: Vec<u8> = [0x3c00_u16, 0xc100, 0x0001, 0x7bff].iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let brain: Vec<u8> = [0x3f80_u16, 0xc020, 0x4049, 0x0000].iter().flat_map(|bits| bits.to_le_bytes()).collect();
    *tensors.get_mut("norm.bias").expect("there") = (Dtype::F16, vec![16], half.repeat(4));
    *tensors.get_mut("norm.weight").expect("there") = (Dtype::BF16, vec![16], brain.repeat(4));
    let from = folder.path().join("half.safetensors");
    save(&from, &tensors);
    import(&file, &from, &run, true).expect("the same network");
    let found = read(&run.join(weights::FILE));
    let first = |name: &str| -> Vec<f32> {
        found[name].2.chunks_exact(4).take(4).map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four"))).collect()
    };
    assert_eq!(first("norm.bias"), [1.0, -2.5, 2.0_f32.powi(-24), 65504.0]);
    assert_eq!(first("norm.weight"), [1.0, -2.5, 3.140625, 0.0]);
}

/// Exit code and messages of the worker.
fn worker(arguments: &[&Path]) -> (Option<i32>, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_scalelaw-worker")).args(arguments).output().expect("built");
    (run.status.code(), String::from_utf8_lossy(&run.stderr).into_owned())
}

#[test]
fn the_worker_answers_with_one_line_and_an_exit_code() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = run_of(&vit("map", 2), 12);
    let run = finished(folder.path(), &file, &of(&file, 1));
    let (out, export, import, force) =
        (folder.path().join("out"), Path::new("export"), Path::new("import"), Path::new("--force"));
    let one_line = |(code, said): (Option<i32>, String), expected: &str| {
        assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.contains(expected), "{said}");
    };
    one_line(worker(&[export, &run, &out]), "has no spec.json; name the directory of a run");
    fs::write(run.join("spec.json"), serde_json::to_string(&file).expect("JSON")).expect("writable");
    assert_eq!(worker(&[export, &run, &out]), (Some(0), String::new()));
    one_line(worker(&[export, &run, &out]), "model.safetensors: already there; name another folder, or say --force");
    one_line(worker(&[import, &out, &run]), "weights.safetensors: already there;");
    assert_eq!(worker(&[import, &out, &run, force]), (Some(0), String::new()));
    assert_eq!(worker(&[import, &out]).0, Some(2));

    let lock = fs::File::open(run.join("lock")).expect("made by the import");
    lock.lock().expect("free");
    one_line(worker(&[import, &out, &run, force]), "another attempt still works on this run");
}
