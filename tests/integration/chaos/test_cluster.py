"""The hands that hurt a cluster, without one."""

from pathlib import Path

from tests.integration.chaos.cluster import fill


def test_a_disk_is_filled_and_nothing_is_raised() -> None:
    fill(Path("/dev/full"))
