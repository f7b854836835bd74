"""What a worker runs on: what of the machine, its libraries and data its numbers depend on.

The same job gives the same bits only on one CPU type, torch build, thread count and data. The fingerprint names what
matters, so that a run is trained on equal machines and results of unlike ones are never compared bit by bit.
"""

import hashlib
import re
from functools import cache
from pathlib import Path

from pydantic import Field

from actsearch.config import Settings
from actsearch_workers.texts import Line

PROCESS_ENVIRONMENT = {
    # One thread: sums keep their order, and OpenMP has no pool that a fork would break (pytorch#17199).
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Asks the driver's library about GPUs in place of the CUDA runtime, which no fork survives (pytorch#83973).
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
}
"""What a worker's environment must hold before torch is imported."""


class Environment(Settings):
    """The parts of machine, libraries and data that decide a training's last bits."""

    torch: Line = Field(max_length=100)
    numpy: Line = Field(max_length=100)
    device: Line = Field(max_length=200)
    """GPU name, or CPU model with the instruction set that torch uses."""
    activations: Line = Field(max_length=200)
    """What computes activation functions there (actsearch.activation.symbolic.engine_of)."""
    data: Line = Field("", max_length=16)
    """First 16 digits of the digest of the data set, or of several together; empty for a machine as such."""

    @property
    def fingerprint(self) -> str:
        """8 hex digits, the same exactly where all parts are the same."""
        parts = "\n".join((self.torch, self.numpy, self.device, self.activations, self.data))
        return hashlib.sha256(parts.encode()).hexdigest()[:8]

    def on(self, *digests: str) -> "Environment":
        """The same machine with the data of that digest, or of these."""
        data = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
        return self.model_copy(update={"data": data[:16]})

    def will_do(self, fingerprint: str | None) -> bool:
        """Whether it has this fingerprint, or its machine without data has; any has None."""
        return fingerprint in (None, self.fingerprint, self.model_copy(update={"data": ""}).fingerprint)

    def differences(self, other: "Environment") -> str:
        """The parts in which `other` differs, in one line: `torch 2.9.1, not 2.14.0; device …`; empty if in none."""
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in type(self).model_fields]
        return "; ".join(f"{name} {there or 'unknown'}, not {here}" for name, here, there in pairs if here != there)

    def __str__(self) -> str:
        libraries = f"torch {self.torch}, numpy {self.numpy}"
        data = f", data {self.data}" if self.data else ""
        return f"{self.fingerprint}: {libraries}, {self.device}, activations by {self.activations}{data}"


@cache
def environment(device: str) -> Environment:
    """What a training on `device` ("cpu" or "cuda:N") runs on.

    For a GPU this initialises CUDA: call it where the training runs, never in a process that will fork.
    """
    import numpy
    import torch

    from actsearch.activation.symbolic import engine_of

    if torch.device(device).type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        hardware = f"{_cpu_model()} {torch.backends.cpu.get_cpu_capability()}"
    return Environment(
        torch=str(torch.__version__), numpy=numpy.__version__, device=hardware, activations=engine_of(device)
    )


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1].strip() if found else "unknown CPU"
