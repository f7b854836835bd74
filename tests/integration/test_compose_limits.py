"""Limits of docker-compose.yml: no service can take its machine down."""

from pathlib import Path
from typing import Any

import pytest
import yaml

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())[
    "services"
]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_limits(name: str) -> None:
    service = SERVICES[name]
    assert service["cpus"] in (1, 2)
    assert service["mem_limit"] in ("2g", "${ACTSEARCH_WORKER_MEMORY:-4g}")
    assert service["pids_limit"] == 256
    assert service["tmpfs"] == ["/tmp:size=256m"]


def test_the_server_refuses_jobs_before_it_is_killed_for_its_memory() -> None:
    """Half of its limit is left for the copy of its memory that it rewrites its file from."""
    (script,) = SERVICES["secret"]["command"]
    assert "'maxmemory 1gb' 'maxmemory-policy noeviction'" in script
    assert SERVICES["redis"]["mem_limit"] == "2g"
