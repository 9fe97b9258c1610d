#!/usr/bin/env python3
"""Pictures per second from JPEG files to training batches, of scalelaw and of its peers, alternating; run by `make bench-data`.

All read the same files with as many threads (or worker processes), and make batches of 128 pictures of 224 pixels: a random part
(area 0.08..1, ratio 3/4..4/3), brought to size with antialiasing, half of them mirrored, normalised float32. Every figure comes
from a process of its own, once its first batches are made. scalelaw resizes with a bicubic filter; peers do it with the linear
one that they have by default, which is less work, or with --cubic with a bicubic one too (but ffcv, which has areas only).

Then, of scalelaw alone: the order of samples, and the index of tar shards with many small samples.
"""

import argparse
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from bench_pictures import SETS, make
from data_peers import BATCH, PEERS, SIDE

ROOT = Path(__file__).resolve().parent.parent
SCALELAW = ROOT / "target/debug/scalelaw"
SHARDS, SAMPLES = 200, 1000


def machine():
    """One line about what all this was measured on."""
    with open("/proc/cpuinfo") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    load = os.getloadavg()[0]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, load {load:.1f} before it began"


def ours(kind, threads, seconds):
    """Pictures per second, and which share that is of the decoder alone."""
    command = [SCALELAW, "data", "bench", kind.folder, "--resolution", str(SIDE), "--batch", str(BATCH), "--json"]
    command += ["--threads", str(threads), "--seconds", str(seconds)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found["pictures_per_second"], found["share_of_decoder"]


def theirs(peer, name, threads, seconds, cubic):
    """Pictures per second, or why there are none."""
    command = [sys.executable, ROOT / "scripts/data_peers.py", peer, name, str(threads), str(seconds)]
    try:
        done = subprocess.run(command + ["--cubic"] * cubic, capture_output=True, text=True, timeout=300 + 10 * seconds)
        if done.returncode == 0:
            return float(done.stdout.split()[-1]), None
        return None, (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    except subprocess.TimeoutExpired:
        return None, "no end after minutes"


def spread(values, digits=2):
    """The median, and the lowest and the highest."""
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def pictures(options):
    make()
    print(f"{'pictures':12}{'threads':>7}  {'peer':20}{'ours img/s':>12}{'peer img/s':>12}{'ratio [low, high]':>22}")
    left_out = {}
    for name in options.pictures:
        kind = SETS[name]
        for threads in options.threads:
            mine, share, other = [], [], {peer: [] for peer in options.peers}
            for _ in range(options.rounds):
                speed, part = ours(kind, threads, options.seconds or kind.seconds)
                mine.append(speed)
                share.append(part)
                for peer in [peer for peer in options.peers if peer not in left_out]:
                    speed, why = theirs(peer, name, threads, options.seconds or kind.seconds, options.cubic)
                    if why:
                        left_out[peer] = why
                        print(f"{peer} is left out: {why}", flush=True)
                    else:
                        other[peer].append(speed)
            for peer, speeds in other.items():
                if len(speeds) == len(mine):
                    ratio = spread([a / b for a, b in zip(mine, speeds)])
                    medians = f"{statistics.median(mine):12.0f}{statistics.median(speeds):12.0f}"
                    print(f"{name:12}{threads:7}  {peer:20}{medians}{ratio:>22}", flush=True)
            print(f"{name:12}{threads:7}  ours, as a share of its decoder alone: {spread(share)}", flush=True)


def sampler():
    """The order of samples, if its example is there; it prints its own lines."""
    if not (ROOT / "crates/spec/examples/sampler.rs").exists():
        return print("sampler: left out, since crates/spec/examples/sampler.rs is not there")
    command = ["cargo", "run", "--quiet", "--release", "--locked", "--package", "spec", "--example", "sampler"]
    for line in subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout.splitlines():
        print(f"sampler: {line}", flush=True)


def tiny_shards(folder):
    """Tar files with many samples of a few hundred bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 100, 50)).save(buffer, "JPEG")
    picture = buffer.getvalue()
    for shard in range(SHARDS):
        with tarfile.open(folder / f"train-{shard:03}.tar", "w") as tar:
            for sample in range(SAMPLES):
                for suffix, content in (("jpg", picture), ("cls", str(sample % 10).encode())):
                    member = tarfile.TarInfo(f"{shard * SAMPLES + sample:08}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


def peak(process):
    """The most memory that a process has had, in MB; it is looked at until it ends."""
    most = 0
    while process.poll() is None:
        with open(f"/proc/{process.pid}/status") as status:
            most = max([most, *(int(line.split()[1]) for line in status if line.startswith("VmHWM"))])
        time.sleep(0.002)
    return most / 1024


def index(rounds):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiny_shards(folder)
        rates, peaks = [], []
        for _ in range(rounds):
            for old in folder.glob(".scalelaw-*"):
                old.unlink()
            pattern, heldout = folder / f"train-{{000..{SHARDS - 1}}}.tar", folder / "train-000.tar"
            command = [SCALELAW, "data", "index", pattern, "--heldout", heldout, "--json"]
            began = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            peaks.append(peak(process))
            elapsed = time.perf_counter() - began
            if process.returncode:
                return print(f"index: left out: {process.stderr.read().decode().strip()}")
            # The held-out shard is indexed too.
            rates.append((SHARDS + 1) * SAMPLES / elapsed)
        bytes_ = sum(file.stat().st_size for file in folder.glob(".scalelaw-*"))
        print(f"index: {SHARDS * SAMPLES} samples in {SHARDS} tar files: {spread(rates, 0)} samples a second, "
              f"at most {max(peaks):.1f} MB of memory, {bytes_ / 1e6:.1f} MB of index")


def main():
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each side")
    parser.add_argument("--seconds", type=float, help="of each measurement (default 8, of large pictures 16)")
    parser.add_argument("--pictures", nargs="+", default=[*SETS], choices=[*SETS])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2, 4] if cores >= 4 else [1, 2])
    parser.add_argument("--peers", nargs="*", default=PEERS, choices=PEERS)
    parser.add_argument("--cubic", action="store_true", help="peers resize with a bicubic filter, as scalelaw does")
    parser.add_argument("--only", choices=("pictures", "sampler", "index"), help="one of the three benchmarks")
    options = parser.parse_args()
    print(machine())
    if options.only in (None, "pictures"):
        pictures(options)
    if options.only in (None, "sampler"):
        sampler()
    if options.only in (None, "index"):
        index(options.rounds)


if __name__ == "__main__":
    main()
