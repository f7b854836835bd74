"""`actsearch stop`: end a run cleanly."""

from actsearch_cli.options import RUNS_DIR, Run, RunsDir

NAME = "stop"


def command(run: Run, runs_dir: RunsDir = RUNS_DIR) -> None:
    """Ask a run, its finals or a verification to stop: it keeps everything; the command that it prints goes on."""
    from actsearch.errors import RunError
    from actsearch.runs import find_run
    from actsearch.store import RunState

    folder = find_run(runs_dir, run)
    if not folder.is_driven:
        raise RunError(f"run {folder.name!r} is not at work on this machine; see `actsearch status {folder.name}`")
    folder.stop_file.touch()
    with folder.open() as (store, name):
        finals, verifications = store.finals.get(name), store.verifications.of(name)
    again = f"actsearch search --resume {folder.name}"
    if finals is not None and finals.state is RunState.RUNNING:
        again = f"actsearch finals {folder.name}"
    if verifications and verifications[-1].state is RunState.RUNNING:
        again = f"actsearch verify {folder.name}"
    print(f"{folder.name} stops within seconds; `{again}` goes on")
