"""What is wrong with this machine, or with a server and the workers behind it: each finding says what to do."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import redis

from actsearch.config import Settings
from actsearch.errors import CallerError
from actsearch_workers.data import DATASETS, check_dataset, load
from actsearch_workers.environment import PROCESS_ENVIRONMENT, Environment, environment
from actsearch_workers.forks import in_fork
from actsearch_workers.look import queue_status
from actsearch_workers.server import find_program

FREE_BYTES = 2 * 10**9
"""Room that a run's store, logs and server file are given."""
CLOCK_SECONDS = 2.0
"""Difference of clocks that still makes logs of several machines comparable."""
OLDEST_SERVER = (6, 2)
"""LMOVE, on which RQ rests, came with it."""


class Finding(Settings):
    """One thing that was looked at.

    Attributes:
        name: what.
        is_wrong: whether something is to be done.
        found: what it is.
        advice: what to do; empty where nothing is wrong.
    """

    name: str
    is_wrong: bool = False
    found: str
    advice: str = ""

    def __str__(self) -> str:
        mark = "wrong" if self.is_wrong else "ok"
        return f"{mark:<6}{self.name:<16} {self.found}" + (f": {self.advice}" if self.advice else "")


def wrong(name: str, found: str, advice: str) -> Finding:
    return Finding(name=name, is_wrong=True, found=found, advice=advice)


def machine(data_dir: Path, runs_dir: Path) -> Iterator[Finding]:
    """Findings on this machine: where trainings run, whether it can fork, room, server program, data."""
    yield from _libraries()
    for name, folder in (("room for runs", runs_dir), ("room for data", data_dir)):
        yield _room(name, folder)
    try:
        yield Finding(name="server program", found=str(find_program()))
    except CallerError as err:
        yield wrong("server program", "none", str(err))
    for name, source in DATASETS.items():
        if not source.argument:
            yield _dataset(name, data_dir)


def server(connection: redis.Redis) -> Iterator[Finding]:
    """Findings on a server: version, what it does when memory or power run out, clock, and the workers it has."""
    facts = connection.info()
    yield _version(facts)
    yield _setting(connection, "maxmemory-policy", "noeviction", "or jobs vanish when memory is short")
    yield _setting(connection, "appendonly", "yes", "or results that no store has yet are lost with the server")
    yield _memory(facts)
    yield _clock(connection)
    yield from _workers(connection)


def _libraries() -> Iterator[Finding]:
    try:
        here = Environment.model_validate_json(in_fork(lambda: environment("cpu").model_dump_json()))
        yield Finding(name="CPU", found=str(here))
        yield _fork_safety(in_fork(_threads_after_fork))
        yield _gpus(in_fork(_gpu_names))
    except (OSError, CallerError) as err:
        yield wrong("PyTorch", str(err)[:200], "install PyTorch, which workers need: pytorch.org, Get started")


def _threads_after_fork() -> str:
    os.environ.update(PROCESS_ENVIRONMENT)
    import torch

    torch.set_num_threads(1)
    was_used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    # What every training does: tensor operations in a fork of a process that has imported torch and run none.
    answer = in_fork(lambda: f"{torch.get_num_threads()} {float((torch.ones(64, 64) @ torch.ones(64, 64)).sum()):g}")
    return f"{answer} {was_used}"


def _fork_safety(answer: str) -> Finding:
    if answer == "1 262144 False":
        return Finding(name="fork safety", found="a fork computes, with one thread; no GPU is touched before it")
    return wrong("fork safety", f"a fork says {answer}", "something has used torch or a GPU before: no sitecustomize")


def _gpu_names() -> str:
    os.environ.update(PROCESS_ENVIRONMENT)
    import torch

    count = torch.cuda.device_count()
    return ", ".join(torch.cuda.get_device_name(k) for k in range(count))


def _gpus(names: str) -> Finding:
    if not names and Path("/dev/nvidia0").exists():
        return wrong("GPUs", "a driver, but none that PyTorch can use", "compare `nvidia-smi` with torch.version.cuda")
    return Finding(name="GPUs", found=names or "none: trainings run on the CPU")


def _room(name: str, folder: Path) -> Finding:
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / 1e9:.1f} GB free at {there}"
    if not os.access(there, os.W_OK):
        return wrong(name, f"{there} is not writable", "choose another folder, or have its owner let you write")
    if free < FREE_BYTES:
        return wrong(name, found, f"make room: a run wants {FREE_BYTES / 1e9:g} GB")
    return Finding(name=name, found=found)


def _dataset(name: str, data_dir: Path) -> Finding:
    title, advice = f"data {name}", f"fetch it again: remove its folder in {data_dir}, then data fetch {name}"
    if DATASETS[name].fetch is None:
        advice = "install actsearch again"
    try:
        check_dataset(name, data_dir=data_dir)
    except CallerError:
        return Finding(name=title, found=f"not here; `actsearch data fetch {name}` gets it")
    try:
        digest = in_fork(lambda: load(name, data_dir=data_dir).digest)
    except (OSError, CallerError) as err:
        return wrong(title, str(err)[:200], advice)
    if DATASETS[name].digest not in ("", digest):
        return wrong(title, f"{digest[:16]}, where an unharmed copy has {DATASETS[name].digest[:16]}", advice)
    return Finding(name=title, found=digest[:16])


def _version(facts: dict[str, object]) -> Finding:
    # Valkey calls itself Redis 7.2.4 in redis_version, for programs that ask.
    name, said = ("Valkey", facts["valkey_version"]) if "valkey_version" in facts else ("Redis", facts["redis_version"])
    version = tuple(int(part) for part in str(facts["redis_version"]).split(".")[:2])
    if version < OLDEST_SERVER:
        return wrong("server", f"{name} {said}", "6.2 is the oldest that will do; 7.2, or Valkey 8, is better")
    return Finding(name="server", found=f"{name} {said}")


def _setting(connection: redis.Redis, name: str, right: str, why: str) -> Finding:
    try:
        found = str(connection.config_get(name).get(name, "unknown"))
    except redis.exceptions.ResponseError:
        return Finding(name=name, found="the server does not say (its CONFIG is closed)")
    if found != right:
        return wrong(name, found, f"set it to {right} (CONFIG SET {name} {right}, and in its file), {why}")
    return Finding(name=name, found=found)


def _memory(facts: dict[str, object]) -> Finding:
    used, most = int(str(facts["used_memory"])), int(str(facts.get("maxmemory", 0)))
    found = f"{used / 1e6:.0f} MB used" + (f" of {most / 1e6:.0f}" if most else "")
    if most and used > 0.8 * most:
        return wrong("server memory", found, "raise maxmemory before it refuses jobs and pauses runs")
    return Finding(name="server memory", found=found)


def _clock(connection: redis.Redis) -> Finding:
    before = time.time()
    seconds, microseconds = connection.time()
    skew = seconds + microseconds / 1e6 - (before + time.time()) / 2
    if abs(skew) > CLOCK_SECONDS:
        return wrong("clock", f"the server's is {skew:+.1f} s from this machine's", "set both by NTP")
    return Finding(name="clock", found=f"within {max(abs(skew), 0.1):.1f} s of the server's")


def _workers(connection: redis.Redis) -> Iterator[Finding]:
    workers = queue_status(connection, "").workers
    if not workers:
        yield wrong("workers", "none", "start some with `actsearch worker`")
        return
    yield Finding(name="workers", found=f"{len(workers)}: {', '.join(worker.name for worker in workers)}"[:300])
    for part in sorted({name for worker in workers for name in worker.versions}):
        found: dict[str, list[str]] = {}
        for worker in workers:
            found.setdefault(worker.versions.get(part, "none"), []).append(worker.name)
        if len(found) > 1:
            text = "; ".join(f"{version} on {', '.join(names)}" for version, names in sorted(found.items()))
            yield wrong(f"workers' {part}", text[:300], "install one version everywhere, or run them as separate runs")
    environments = sorted({worker.environment for worker in workers})
    if len(environments) > 1:
        advice = "a run is trained by equal workers alone; start a run for each, with --environment"
        yield wrong("environments", " | ".join(environments)[:600], advice)
    else:
        yield Finding(name="environments", found=environments[0])
    for worker in workers:
        for run, reason in worker.idles.items():
            advice = "mend that, or leave the worker to other runs"
            yield wrong("idle worker", f"{worker.name} cannot serve {run or 'any run'}: {reason}", advice)
