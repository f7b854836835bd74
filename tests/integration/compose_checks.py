"""What must hold in the compose drill: nothing lost or counted twice, and containers that may do no more than they need."""

from collections.abc import Sequence
from typing import Any

from tests.integration.compose_stack import Stack

_INSIDE = """
id -u
awk '/^CapBnd|^NoNewPrivs/ {print $2}' /proc/self/status
touch /written 2>/dev/null && echo written || echo refused
"""


class DrillError(Exception):
    """A promise that did not hold."""


def check_store(status: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """No evaluation lost, none twice.

    Args:
        status: what `actsearch status --json` prints.
        rows: what `actsearch export --format json` prints.
    """
    counts = status["evaluations"]
    keys = {row["evaluation"] for row in rows}
    if not len(keys) == len(rows) == counts["asked"] == counts["told"] == sum(counts["by_outcome"].values()):
        raise DrillError(f"{len(keys)} different evaluations in {len(rows)} rows, and status has {counts}")
    if status["state"] != "done":
        raise DrillError(f"the run is {status['state']}: {status['reason']}")


def check_confinement(stack: Stack) -> list[str]:
    """Names of the services whose containers are confined, as the engine says and as seen from inside."""
    services = set()
    for container in stack.containers(stopped=True):
        found = stack.inspect(container)
        service = found["Config"]["Labels"]["com.docker.compose.service"]
        promises = promises_of(found)
        if found["State"]["Running"]:
            promises |= promises_inside(stack.docker("exec", container, "sh", "-c", _INSIDE))
        if broken := [name for name, holds in promises.items() if not holds]:
            raise DrillError(f"the container of {service} lacks: {', '.join(broken)}")
        services.add(service)
    return sorted(services)


def promises_of(found: dict[str, Any]) -> dict[str, bool]:
    """What is promised of every container, and whether the engine has it so.

    Args:
        found: what `docker inspect` says of it.
    """
    host = found["HostConfig"]
    return {
        "a normal user": found["Config"]["User"] not in ("", "0", "root"),
        "no capability": host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"],
        "no new privileges": "no-new-privileges:true" in (host["SecurityOpt"] or []),
        "a read-only root": host["ReadonlyRootfs"],
        "no published port": not host["PortBindings"],
        "a limit of memory": host["Memory"] > 0,
        "a limit of cores": host["NanoCpus"] > 0,
        "a limit of processes": (host["PidsLimit"] or 0) > 0,
    }


def promises_inside(printed: str) -> dict[str, bool]:
    """The same as a process of the container sees it: its user, capabilities, privileges, an attempt to write."""
    user, capabilities, no_new_privileges, attempt = printed.split()
    return {
        "a normal user inside": user != "0",
        "no capability inside": int(capabilities, 16) == 0,
        "no new privileges inside": no_new_privileges == "1",
        "a read-only root inside": attempt == "refused",
    }
