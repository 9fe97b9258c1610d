"""One measurement of one peer of `make bench-data`, in a process of its own; prints pictures per second.

Every peer reads the same files (in its own container, where it has one), decodes them, takes a random part (area 0.08..1, ratio
3/4..4/3), brings it to 224 pixels with antialiasing, mirrors half of them, normalises, and gives batches of 128 x 3 x 224 x 224
float32 that are checked. What it is set to is what its documentation has for training on a CPU.
"""

import argparse
import itertools
import os
import time

from bench_pictures import SETS

BATCH, SIDE = 128, 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PEERS = ("torchvision-pil", "torchvision-tensor", "webdataset", "streaming", "ffcv", "dali")


def files(kind):
    """The training files and their classes."""
    return [(path, int(path.parent.name[-1])) for path in sorted((kind.folder / "train").glob("*/*.jpg"))]


def container(kind, name, write):
    """A folder with the files in a peer's own format, written by `write(folder)` where it is not there yet."""
    folder = kind.folder.with_name(f"{kind.folder.name}-{name}")
    if not folder.exists():
        partial = folder.with_name(f"partial-{os.getpid()}-{folder.name}")
        partial.mkdir()
        write(partial)
        partial.rename(folder)
    return folder


def transforms(cubic, decoded):
    """torchvision's; on PIL's pictures, or on tensors of bytes until the end."""
    import torch
    from torchvision.transforms import InterpolationMode, v2

    how = InterpolationMode.BICUBIC if cubic else InterpolationMode.BILINEAR
    steps = [v2.RandomResizedCrop(SIDE, antialias=True, interpolation=how), v2.RandomHorizontalFlip()]
    floats = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    return v2.Compose([*steps, *floats] if decoded else [*steps, v2.ToImage(), *floats])


def batches_of(dataset, workers):
    """torch's loader over a data set with an index, without an end: the workers start once."""
    from torch.utils.data import DataLoader, RandomSampler

    endless = RandomSampler(dataset, num_samples=10**7)
    return (pictures for pictures, _ in DataLoader(dataset, BATCH, sampler=endless, num_workers=workers, drop_last=True))


def torchvision(kind, workers, cubic, decoded):
    from torchvision.datasets import ImageFolder
    from torchvision.io import ImageReadMode, decode_jpeg, read_file

    load = {"loader": lambda path: decode_jpeg(read_file(path), ImageReadMode.RGB)} if decoded else {}
    return batches_of(ImageFolder(kind.folder / "train", transforms(cubic, decoded), **load), workers)


def webdataset(kind, workers, cubic):
    import webdataset as wds

    def write(folder):
        every = files(kind)
        for shard in range(20):
            with wds.TarWriter(str(folder / f"train-{shard:03}.tar")) as tar:
                for path, label in every[shard::20]:
                    tar.write({"__key__": path.stem, "jpg": path.read_bytes(), "cls": label})

    shards = sorted(str(path) for path in container(kind, "tar", write).glob("*.tar"))
    data = wds.WebDataset(shards, resampled=True, shardshuffle=False).shuffle(100).decode("pil").to_tuple("jpg", "cls")
    data = data.map_tuple(transforms(cubic, False), int).batched(BATCH, partial=False)
    return (pictures for pictures, _ in wds.WebLoader(data, batch_size=None, num_workers=workers))


def streaming(kind, workers, cubic):
    from streaming import MDSWriter, StreamingDataset
    from streaming.base.util import clean_stale_shared_memory
    from torch.utils.data import DataLoader

    def write(folder):
        from PIL import Image

        # MDSWriter keeps the bytes of a file that PIL has opened.
        with MDSWriter(out=str(folder / "mds"), columns={"image": "jpeg", "label": "int"}) as out:
            for path, label in files(kind):
                out.write({"image": Image.open(path), "label": label})

    change = transforms(cubic, False)

    class Pictures(StreamingDataset):
        def __getitem__(self, index):
            example = super().__getitem__(index)
            return change(example["image"]), example["label"]

    clean_stale_shared_memory()
    data = Pictures(local=str(container(kind, "mds", write) / "mds"), shuffle=True, batch_size=BATCH, epoch_size=100_000)
    return (pictures for pictures, _ in DataLoader(data, BATCH, num_workers=workers, drop_last=True))


def ffcv(kind, workers, cubic):
    import numpy as np
    from ffcv.fields import IntField, rgb_image
    from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage
    from ffcv.writer import DatasetWriter

    class Files:
        """The pictures, and the bytes of the last of them: its writer would compress them once more."""

        def __init__(self):
            self.files, self.last = files(kind), None

        def __len__(self):
            return len(self.files)

        def __getitem__(self, index):
            from PIL import Image

            path, label = self.files[index]
            self.last = np.frombuffer(path.read_bytes(), np.uint8)
            return Image.open(path), label

    def write(folder):
        every = Files()
        rgb_image.encode_jpeg = lambda _, quality: every.last
        fields = {"image": rgb_image.RGBImageField(write_mode="jpg"), "label": IntField()}
        DatasetWriter(str(folder / "train.beton"), fields, num_workers=1).from_indexed_dataset(every)

    path = container(kind, "ffcv", write) / "train.beton"
    mean, std = (255 * np.array(values) for values in (MEAN, STD))
    image = [RandomResizedCropRGBImageDecoder((SIDE, SIDE)), RandomHorizontalFlip(), NormalizeImage(mean, std, np.float32),
             ToTensor(), ToTorchImage()]
    # A list that repeats itself is one long epoch, so that it does not start anew every few batches.
    repeated = list(range(kind.train)) * (50_000 // kind.train)
    return (batch[0] for batch in Loader(
        str(path), batch_size=BATCH, num_workers=workers, order=OrderOption.RANDOM, os_cache=True, drop_last=True,
        indices=repeated, pipelines={"image": image, "label": [IntDecoder(), ToTensor()]},
    ))


def dali(kind, workers, cubic):
    from nvidia.dali import fn, pipeline_def, types

    @pipeline_def(batch_size=BATCH, num_threads=workers, device_id=None, seed=1)
    def pipeline():
        files, labels = fn.readers.file(file_root=str(kind.folder / "train"), random_shuffle=True)
        pictures = fn.decoders.image_random_crop(files, output_type=types.RGB, random_area=[0.08, 1.0])
        how = types.INTERP_CUBIC if cubic else types.INTERP_LINEAR
        pictures = fn.resize(pictures, resize_x=SIDE, resize_y=SIDE, interp_type=how, antialias=True)
        mean, std = ([255 * value for value in values] for values in (MEAN, STD))
        mirror = fn.random.coin_flip()
        return fn.crop_mirror_normalize(pictures, dtype=types.FLOAT, output_layout="CHW", mean=mean, std=std, mirror=mirror), labels

    built = pipeline()
    built.build()
    return (built.run()[0].as_array() for _ in itertools.count())


def open_peer(peer, kind, workers, cubic):
    match peer:
        case "torchvision-pil" | "torchvision-tensor":
            return torchvision(kind, workers, cubic, decoded=peer == "torchvision-tensor")
        case "webdataset":
            return webdataset(kind, workers, cubic)
        case "streaming":
            return streaming(kind, workers, cubic)
        case "ffcv":
            return ffcv(kind, workers, cubic)
        case "dali":
            return dali(kind, workers, cubic)


def measure(batches, workers, seconds):
    """Workers often come with their batches at about the same time, so what is counted begins and ends with as many of them."""
    for _ in range(2 * workers):
        first = next(batches)
        assert tuple(first.shape) == (BATCH, 3, SIDE, SIDE) and "float32" in str(first.dtype), (first.shape, first.dtype)
    began, pictures = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < seconds:
        pictures += sum(len(next(batches)) for _ in range(workers))
    return pictures / elapsed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("pictures", choices=[*SETS])
    parser.add_argument("workers", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--cubic", action="store_true")
    options = parser.parse_args()
    if options.peer != "dali":
        import torch

        torch.set_num_threads(1)
    batches = open_peer(options.peer, SETS[options.pictures], options.workers, options.cubic)
    print(measure(batches, options.workers, options.seconds), flush=True)
    if options.peer == "ffcv":
        # Its threads go on and would fail when what they use is taken down under them.
        os._exit(0)


if __name__ == "__main__":
    main()
