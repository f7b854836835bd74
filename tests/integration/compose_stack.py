"""The services of docker-compose.yml as a drill sees them: through the `docker` commands and from inside the containers.

Needs Docker and nothing of the project, so that it runs on a machine that has only the images.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PROJECT = "actsearch-drill"
"""Compose's project name: the drill's containers, volumes and network are its own."""
LEASE = "actsearch:lease:"
"""What the key of a lease starts with; the job's id follows."""
QUEUES = "rq:queue:actsearch*"
RESULTS = "actsearch:results:*"
ATTEMPTS = "actsearch:attempts:*"

LOOK = f"""
local found = {{'view - -'}}
for _, key in ipairs(redis.call('keys', '{LEASE}*')) do
  found[#found + 1] = 'lease ' .. string.sub(key, {len(LEASE) + 1}) .. ' ' .. redis.call('get', key)
end
for _, key in ipairs(redis.call('keys', '{QUEUES}')) do
  local is_list = redis.call('type', key).ok == 'list' -- RQ keeps other books under such names
  for _, id in ipairs(is_list and redis.call('lrange', key, 0, -1) or {{}}) do found[#found + 1] = 'queued ' .. id .. ' -' end
end
for _, key in ipairs(redis.call('keys', '{RESULTS}')) do
  for _, evaluation in ipairs(redis.call('hkeys', key)) do found[#found + 1] = 'result ' .. evaluation .. ' -' end
end
for _, key in ipairs(redis.call('keys', '{ATTEMPTS}')) do
  for _, number in ipairs(redis.call('hvals', key)) do found[#found + 1] = 'failed ' .. number .. ' -' end
end
return found
"""
"""Lua that the server runs: one moment's picture, a line an entry."""
TOLD = """
import sqlite3, sys
print(*sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute("select count(outcome) from evaluations").fetchone())
"""
"""Python that a container runs: the number of evaluations that a store has."""
_REDIS_CLI = 'REDISCLI_AUTH="$(cat /secret/password)" redis-cli --raw eval "$0" 0'


class CommandError(Exception):
    """A command ended with another exit code than 0; the text has its last words."""


@dataclass(frozen=True)
class QueueView:
    """What the server knew at one moment."""

    leases: Mapping[str, str]
    """Id of each job that is held, and the worker that holds it."""
    queued: frozenset[str]
    """Ids of the jobs that wait."""
    results: int
    """Results that the store does not have yet."""
    failed: int
    """Attempts that failed, of all runs."""

    @classmethod
    def read(cls, text: str) -> "QueueView":
        """The view in the lines of `LOOK`; ValueError for anything else."""
        first, *rows = [line.split() for line in text.splitlines() if line] or [[]]
        kinds = ("lease", "queued", "result", "failed")
        if first != ["view", "-", "-"] or any(len(row) != 3 or row[0] not in kinds for row in rows):
            raise ValueError(f"not a view of the queue: {text[:100]!r}")
        return cls(
            leases={job: worker for kind, job, worker in rows if kind == "lease"},
            queued=frozenset(job for kind, job, _ in rows if kind == "queued"),
            results=sum(kind == "result" for kind, _, _ in rows),
            failed=sum(int(number) for kind, number, _ in rows if kind == "failed"),
        )


class Stack:
    """One project of Docker Compose.

    Args:
        compose: the command `docker compose`, in words; it runs in the current folder.
        docker: the command `docker`, in words.
        settings: variables of docker-compose.yml.
    """

    def __init__(self, compose: Sequence[str], docker: Sequence[str], settings: Mapping[str, str]) -> None:
        self._compose, self._docker = list(compose), list(docker)
        self._environment = {**os.environ, **settings, "COMPOSE_PROJECT_NAME": PROJECT}
        self._server: str | None = None

    def compose(self, *arguments: str, **settings: str) -> str:
        """What `docker compose ARGUMENTS` prints; `settings` are variables for this call."""
        return _run([*self._compose, *arguments], {**self._environment, **settings})

    def docker(self, *arguments: str) -> str:
        """What `docker ARGUMENTS` prints."""
        return _run([*self._docker, *arguments], self._environment)

    def containers(self, service: str = "", *, stopped: bool = False) -> list[str]:
        """Ids of a service's containers that run, or of all containers; with `stopped` also of those that have ended."""
        labels = [
            f"com.docker.compose.project={PROJECT}",
            *([f"com.docker.compose.service={service}"] if service else []),
        ]
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        return self.docker("ps", "--quiet", "--no-trunc", *(["--all"] if stopped else []), *filters).split()

    def inspect(self, container: str) -> dict[str, Any]:
        """What the engine says of a container."""
        found: dict[str, Any] = json.loads(self.docker("inspect", container))[0]
        return found

    def has_ended(self, service: str) -> bool:
        """Whether a service's only container has ended well; an error if it has ended otherwise."""
        (container,) = self.containers(service, stopped=True)
        state = self.inspect(container)["State"]
        if state["Status"] == "exited" and state["ExitCode"] != 0:
            raise CommandError(
                f"{service} ended with {state['ExitCode']}: {self.docker('logs', '--tail', '3', container)}"
            )
        return bool(state["Status"] == "exited")

    def versions(self) -> str:
        """Of the engine and of Compose."""
        engine = self.docker("version", "--format", "{{.Server.Version}}").strip()
        return f"Docker {engine}, Compose {self.compose('version', '--short').strip()}"

    def kill(self, container: str) -> None:
        """SIGKILL to the container's first process from outside, as a crash: the engine's restart policy holds."""
        pid = self.inspect(container)["State"]["Pid"]
        if pid:
            os.kill(pid, signal.SIGKILL)

    def freeze(self, container: str) -> None:
        """Stop all its processes where they stand. Again where the engine gives up, as it does on busy cores."""
        for pause in (0.2, 0.5, 1.0, 2.0):
            try:
                self.docker("pause", container)
            except CommandError:
                time.sleep(pause)
            else:
                return
        self.docker("pause", container)

    def disconnect(self, container: str) -> None:
        """Take the container off the queue's network."""
        self.docker("network", "disconnect", f"{PROJECT}_queue", container)

    def connect(self, container: str) -> None:
        """Put it back, under its service's name."""
        service = self.inspect(container)["Config"]["Labels"]["com.docker.compose.service"]
        self.docker("network", "connect", "--alias", service, f"{PROJECT}_queue", container)

    def queue(self) -> QueueView | None:
        """What the server knows now; None while there is none that answers."""
        servers = [self._server] if self._server else self.containers("redis")
        try:
            text = "".join(self.docker("exec", server, "sh", "-c", _REDIS_CLI, LOOK) for server in servers)
        except CommandError:
            text = ""
        self._server = servers[0] if text else None
        return None if not text or text.startswith("LOADING") else QueueView.read(text)

    def told(self, run: str) -> int:
        """Evaluations in the run's store; 0 while nobody can be asked. `actsearch status` would take seconds."""
        try:
            (controller,) = self.containers("controller")
            return int(self.docker("exec", controller, "python3", "-c", TOLD, f"/runs/{run}/store.sqlite"))
        except (CommandError, ValueError):
            return 0

    def read_run(self, *arguments: str) -> Any:
        """The JSON that `actsearch ARGUMENTS` prints of a run, from a container of its own."""
        words = ["run", "--rm", "--no-deps", "-T", "--entrypoint", "actsearch", "controller", *arguments]
        return json.loads(self.compose(*words, "--runs-dir", "/runs"))


def _run(words: Sequence[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "(no words)").splitlines()[-1]
        raise CommandError(f"{' '.join(words)[:200]}: exit {done.returncode}: {last}")
    return done.stdout
