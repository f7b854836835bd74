"""docker-compose.yml against what it promises and against the commands that it calls; the engine is not needed."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from actsearch_cli.main import app
from actsearch_workers.connection import find_address

ROOT = Path(__file__).parents[2]
FILE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = [name for name in SERVICES if name not in ("secret", "redis")]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_runs_with_nothing_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"ports", "privileged", "cap_add", "environment"} & set(service)
    if name != "data":
        assert service.get("network_mode") == "none" or service["networks"] == ["queue"]
    assert service["image"].startswith("actsearch-") or service["user"] == "redis"


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


def test_the_queues_network_leads_nowhere_else() -> None:
    assert FILE["networks"] == {"queue": {"internal": True}}


@pytest.mark.parametrize("name", OURS)
def test_every_command_line_is_one_that_the_command_takes(name: str) -> None:
    words = [*SERVICES[name].get("entrypoint", ["actsearch"]), *SERVICES[name]["command"]]
    assert words[0] == "actsearch"
    command: Any = typer.main.get_command(app)
    for word in words[1:]:
        if word.startswith("--"):
            assert word.partition("=")[0] in {option for p in command.params for option in p.opts}, word
        elif hasattr(command, "commands"):
            command = command.commands[word]


def test_no_command_line_holds_a_password() -> None:
    for service in SERVICES.values():
        for word in service["command"]:
            if word.startswith("--redis-url="):
                assert find_address(word.partition("=")[2], None, {})


def test_the_variables_that_the_page_names_are_those_of_the_file() -> None:
    used = set(re.findall(r"\$\{(ACTSEARCH_\w+)", (ROOT / "docker-compose.yml").read_text()))
    told = set(re.findall(r"^\| `(ACTSEARCH_\w+)`", (ROOT / "docs" / "docker.md").read_text(), re.MULTILINE))
    assert used == told
