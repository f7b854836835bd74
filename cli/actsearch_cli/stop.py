"""`actsearch stop`: end a run cleanly."""

from actsearch_cli.options import RUNS_DIR, Run, RunsDir, Store, existing_run

NAME = "stop"


def command(run: Run, runs_dir: RunsDir = RUNS_DIR, store: Store = None) -> None:
    """Ask a run, or its finals, to stop: it keeps everything, and the command that it prints goes on."""
    from actsearch.errors import RunError
    from actsearch.store import RunState

    folder = existing_run(runs_dir, run, store)
    if not folder.is_driven_here:
        raise RunError(f"run {folder.name!r} is not at work on this machine; see `actsearch status {folder.name}`")
    folder.stop_file.touch()
    with folder.open() as (opened, name):
        finals = opened.finals.get(name)
    in_finals = finals is not None and finals.state is RunState.RUNNING
    again = f"actsearch finals {folder.name}" if in_finals else f"actsearch search --resume {folder.name}"
    print(f"{folder.name} stops within seconds; `{again}` goes on")
