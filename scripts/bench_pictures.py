"""The files of `make bench-data`, made once from photographs that packages carry, and kept in the user's cache.

Photographs of scikit-image and, where npm is there, of the npm package funny-dog-pictures. Every file is a part of one of them
with sides of 4 : 3, brought to its size with Lanczos' filter and written as JPEG of quality 90; all drawn with one seed.
"""

import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scalelaw"
HOME = CACHE / "bench-photos"
CLASSES = 10
SCIKIT = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "hubble_deep_field.jpg", "retina.jpg",
          "motorcycle_left.png", "motorcycle_right.png")


@dataclass
class Set:
    """Pictures of one size."""

    width: int
    height: int
    train: int
    heldout: int = 20
    seconds: float = 8  # how long one measurement takes where nothing else is said

    @property
    def folder(self):
        return HOME / f"{self.width}x{self.height}"


SETS = {"500x375": Set(500, 375, train=1000), "2000x1500": Set(2000, 1500, train=100, seconds=16)}


def photographs(folder):
    """Unpacks the photographs into `folder`; what cannot be fetched is said."""
    target = ["--python-version", "39", "--implementation", "cp", "--abi", "cp39", "--platform", "manylinux2010_x86_64"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *target]
    subprocess.run([*pip, "--dest", folder, "scikit-image==0.18.3"], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        for name in SCIKIT:
            (folder / name).write_bytes(wheel.read(f"skimage/data/{name}"))
    try:
        subprocess.run(["npm", "pack", "--silent", "funny-dog-pictures@1.0.0"], cwd=folder, check=True, capture_output=True)
        with tarfile.open(next(folder.glob("*.tgz"))) as package:
            for member in package:
                if member.name.endswith(".jpg"):
                    (folder / Path(member.name).name).write_bytes(package.extractfile(member).read())
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no dogs, since npm does not fetch them: {error}", file=sys.stderr)
    return sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg"))


def cut(photograph, kind, draw):
    """A part of at least the size that is wanted, where the photograph has it."""
    from PIL import Image

    widest = min(photograph.width, photograph.height * 4 // 3)
    width = draw.randint(min(kind.width, widest // 2), widest)
    height = width * 3 // 4
    left, top = draw.randint(0, photograph.width - width), draw.randint(0, photograph.height - height)
    part = photograph.crop((left, top, left + width, top + height))
    return part.resize((kind.width, kind.height), Image.Resampling.LANCZOS, reducing_gap=3)


def make():
    """Makes the sets that are not there yet."""
    from PIL import Image

    missing = [kind for kind in SETS.values() if not kind.folder.exists()]
    if not missing:
        return
    HOME.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME, prefix="partial-") as partial:
        source = Path(partial) / "photographs"
        source.mkdir()
        opened = [Image.open(path).convert("RGB") for path in photographs(source)]
        for kind in missing:
            # Large pictures come from large photographs, as long as there are any.
            large = [photograph for photograph in opened if photograph.width >= kind.width and photograph.height >= kind.height]
            draw, folder = random.Random(kind.width), Path(partial) / kind.folder.name
            for part, count in (("train", kind.train), ("val", kind.heldout)):
                for number in range(count):
                    path = folder / part / f"class{number % CLASSES}" / f"{number:04}.jpg"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    cut((large or opened)[number % len(large or opened)], kind, draw).save(path, quality=90)
            shutil.move(folder, kind.folder)


if __name__ == "__main__":
    make()
