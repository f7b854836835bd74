"""Which device a worker trains with: looked up without touching a GPU, and shared out among a machine's workers."""

import hashlib
import re
from pathlib import Path

import redis

from actsearch.errors import ConfigError

GPU_CLAIM_SECONDS = 30
"""How long a GPU stays taken after its worker's last heartbeat."""


def choose_device(wanted: str, owner: str, connection: redis.Redis) -> str:
    """The device to train on: "cpu" or "cuda:N", found without initialising CUDA.

    `auto` is a GPU where there is one. Where there are several, workers of one machine share them out through
    the server, so that each gets its own as long as there are enough.

    Args:
        wanted: `auto`, `cpu` or `cuda:N`.
        owner: the worker's name.
        connection: the server that the worker serves.

    Raises:
        ConfigError: anything else, or a GPU that is not here.
    """
    gpus = check_device(wanted)
    if wanted == "auto":
        return f"cuda:{_claim_gpu(gpus, owner, connection)}" if gpus else "cpu"
    return wanted


def check_device(wanted: str) -> int:
    """The number of GPUs here that `wanted` may use; `ConfigError` for a device that is not here, or no device."""
    if wanted == "cpu":
        return 0
    number = re.fullmatch(r"cuda:(\d+)", wanted)
    if number is None and wanted != "auto":
        raise ConfigError(f"--device = '{wanted}': right would be auto, cpu or cuda:0")
    import torch

    gpus = torch.cuda.device_count()
    if number is not None and int(number[1]) >= gpus:
        here = f"cuda:0 to cuda:{gpus - 1}" if gpus else "no CUDA device"
        raise ConfigError(f"--device = '{wanted}': this machine has {here}")
    return gpus


def hold_gpu(device: str, owner: str, connection: redis.Redis) -> None:
    """Keep the claim on a GPU for another while; nothing for a CPU."""
    if device.startswith("cuda:"):
        connection.set(_gpu_key(int(device[5:])), owner, ex=GPU_CLAIM_SECONDS)


def _claim_gpu(gpus: int, owner: str, connection: redis.Redis) -> int:
    for gpu in range(gpus):
        if connection.set(_gpu_key(gpu), owner, nx=True, ex=GPU_CLAIM_SECONDS):
            return gpu
    # More workers than GPUs: share, in a fixed way.
    return int(hashlib.sha256(owner.encode()).hexdigest(), 16) % gpus


def _gpu_key(gpu: int) -> str:
    # All containers of one machine share its boot id, and no two machines do.
    machine = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"actsearch:gpu:{machine}:{gpu}"
