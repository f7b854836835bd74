"""`actsearch stop`: end a run cleanly."""

from actsearch_cli.options import RUNS_DIR, Run, RunsDir

NAME = "stop"


def command(run: Run, runs_dir: RunsDir = RUNS_DIR) -> None:
    """Ask a run to stop: it keeps everything, and `actsearch search --resume RUN` goes on."""
    from actsearch.errors import RunError
    from actsearch.runs import find_run

    folder = find_run(runs_dir, run)
    if not folder.is_driven:
        raise RunError(f"run {folder.name!r} is not at work on this machine; see `actsearch status {folder.name}`")
    folder.stop_file.touch()
    print(f"{folder.name} stops within seconds; `actsearch search --resume {folder.name}` goes on")
