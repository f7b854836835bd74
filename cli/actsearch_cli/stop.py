"""`actsearch stop`: end a run cleanly."""

from actsearch_cli.options import RUNS_DIR, Run, RunsDir, Store, existing_run

NAME = "stop"


def command(run: Run, runs_dir: RunsDir = RUNS_DIR, store: Store = None) -> None:
    """Ask a run, its finals or a verification to stop: it keeps everything; the command that it prints goes on."""
    from actsearch.errors import RunError
    from actsearch.store import RunState

    folder = existing_run(runs_dir, run, store)
    if not folder.is_driven_here:
        raise RunError(f"run {folder.name!r} is not at work on this machine; see `actsearch status {folder.name}`")
    folder.stop_file.touch()
    with folder.open() as (opened, name):
        finals, verifications = opened.finals.get(name), opened.verifications.of(name)
    again = f"actsearch search --resume {folder.name}"
    if finals is not None and finals.state is RunState.RUNNING:
        again = f"actsearch finals {folder.name}"
    if verifications and verifications[-1].state is RunState.RUNNING:
        again = f"actsearch verify {folder.name}"
    print(f"{folder.name} stops within seconds; `{again}` goes on")
