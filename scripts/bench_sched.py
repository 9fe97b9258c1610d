#!/usr/bin/env python3
"""Tasks per second, CPU per task and peak memory of schedulers on runs that do nothing, all in one go on one machine.

Every tool starts the same program so many times, two at a time: a shell that writes one line into a file, which for scalelaw is the
journal of the run with its result. Where a tool can keep a durable record of what has ended, it is told to.
`make bench-sched` sets up what installs here; what does not is left out and said.
"""

import argparse
import ctypes
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOOP = """#!/bin/sh
echo '{"event":"finished","heldout_loss":1.5}' >> "$1"
"""
SWEEP = """name = "noop"
[trainer]
command = ["./noop.sh", "{{run_dir}}/attempts/{{attempt}}/journal.jsonl"]
[data]
dataset = "nothing"
train_examples = 64
heldout_examples = 64
[model]
family = "custom"
sizes = [{{ name = "nothing", parameters = 1000, macs = 1000 }}]
[grid]
epochs = [1]
lr = [0.1]
seeds = {seeds}
[train]
batch = 64
[resources]
slots = 2
"""


def scalelaw(folder, tasks, program):
    (folder / "noop.toml").write_text(SWEEP.format(seeds=list(range(tasks))))
    command = [ROOT / "target/debug/scalelaw", "--state-dir", folder / "state", "run", folder / "noop.toml", "--progress", "none"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)


def bare(folder, tasks, program):
    """Two at a time, and nothing is remembered: what starting a process costs."""
    running = []
    for task in range(tasks):
        if len(running) == 2:
            # Whichever ends first, as a scheduler would.
            pid, _ = os.wait()
            running.remove(pid)
        running.append(os.posix_spawn(program, [program, str(folder / "out")], os.environ))
    for pid in running:
        os.waitpid(pid, 0)


def xargs(folder, tasks, program):
    lines = "\n".join([str(folder / "out")] * tasks)
    subprocess.run(["xargs", "-n1", "-P2", program], input=lines, text=True, check=True)


def parallel(folder, tasks, program):
    lines = "\n".join([str(folder / "out")] * tasks)
    log = ["--joblog", str(folder / "joblog")]
    subprocess.run(["parallel", "--will-cite", "-j2", *log, program], input=lines, text=True, check=True, stderr=subprocess.DEVNULL)


def task_spooler(folder, tasks, program):
    name = shutil.which("tsp") or "ts"
    environment = {**os.environ, "TS_SOCKET": str(folder / "socket"), "TS_SLOTS": "2", "TS_MAXFINISHED": "100000"}
    for _ in range(tasks):
        subprocess.run([name, "-n", program, str(folder / "out")], env=environment, check=True, stdout=subprocess.DEVNULL)
    done = lambda: subprocess.run([name, "-l"], env=environment, capture_output=True, text=True).stdout.count("finished")
    while done() < tasks:
        time.sleep(0.2)
    subprocess.run([name, "-K"], env=environment)


def optuna(folder, tasks, program):
    """One process, two threads, each trial one started program; the journal file is its durable storage."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=JournalStorage(JournalFileBackend(str(folder / "journal"))))

    def objective(trial):
        trial.suggest_float("lr", 0.0, 1.0)
        subprocess.run([program, str(folder / "out")], check=True)
        return 1.5

    study.optimize(objective, n_trials=tasks, n_jobs=2)


def hyperqueue(folder, tasks, program):
    from hyperqueue import Job, LocalCluster
    from hyperqueue.cluster import WorkerConfig

    with LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=2))
        client = cluster.client()
        job = Job(folder, default_env={})
        for _ in range(tasks):
            job.program([program, str(folder / "out")], stdout=None, stderr=None)
        client.wait_for_jobs([client.submit(job)])


TOOLS = {
    "scalelaw": (scalelaw, "SQLite, one transaction a turn, synced"),
    "bare posix_spawn": (bare, "none"),
    "xargs -P2": (xargs, "none"),
    "GNU parallel": (parallel, "job log, not synced"),
    "task-spooler": (task_spooler, "none"),
    "Optuna": (optuna, "journal file, synced"),
    "HyperQueue": (hyperqueue, "none (in Python's package there is no journal)"),
}


def measure_here(name, tasks):
    """In a process of its own, which daemons come back to, so that their time counts."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    folder = Path(tempfile.mkdtemp(prefix="bench-sched-", dir=os.environ.get("BENCH_DIR")))
    program = folder / "noop.sh"
    program.write_text(NOOP)
    program.chmod(0o755)
    began = time.monotonic()
    TOOLS[name][0](folder, tasks, str(program))
    seconds = time.monotonic() - began
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.05)
        except ChildProcessError:
            break
    used = [resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
    cpu = sum(one.ru_utime + one.ru_stime for one in used)
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mib": max(one.ru_maxrss for one in used) / 1024}))


def measure(folder, name, tasks):
    command = [sys.executable, __file__, "--one", name, "--tasks", str(tasks)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, env={**os.environ, "BENCH_DIR": folder})
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise RuntimeError(last)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the smallest number; larger ones run once")
    parser.add_argument("--only", nargs="+", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--one", choices=list(TOOLS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        return measure_here(arguments.one, arguments.tasks[0])
    # Nothing is removed before the end: for a minute afterwards ext4 is slow to make new files, and the next tool would pay for it.
    with tempfile.TemporaryDirectory(prefix="bench-sched-", dir=os.environ.get("BENCH_DIR")) as folder:
        compare(folder, arguments)


def compare(folder, arguments):
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before the first round")
    missing = {}
    for tasks in arguments.tasks:
        found = {name: [] for name in arguments.only}
        for _ in range(arguments.rounds if tasks == min(arguments.tasks) else 1):
            for name in arguments.only:
                # Slow ones show the same rate on fewer tasks.
                if name in missing or (tasks > 2000 and name in ("Optuna", "GNU parallel")):
                    continue
                try:
                    found[name].append(measure(folder, name, tasks))
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    missing[name] = str(error)
        print(f"\n{tasks} tasks, two at a time; median of {max(len(all) for all in found.values())}")
        print(f"{'tool':<18}{'tasks/s':>9}{'ours/it':>9}{'CPU ms/task':>13}{'peak MiB':>10}  durable record")
        rate = lambda name: statistics.median(tasks / one["seconds"] for one in found[name])
        for name in (name for name in arguments.only if found[name]):
            cpu = statistics.median(1000 * one["cpu"] / tasks for one in found[name])
            peak = max(one["peak_mib"] for one in found[name])
            ratio = f"{rate('scalelaw') / rate(name):.2f}" if found.get("scalelaw") else "-"
            print(f"{name:<18}{rate(name):>9.0f}{ratio:>9}{cpu:>13.2f}{peak:>10.0f}  {TOOLS[name][1]}")
    for name, why in missing.items():
        print(f"left out: {name}: {why}")


if __name__ == "__main__":
    main()
