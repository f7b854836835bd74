"""`actsearch runs`: all runs of a folder."""

import json
import sys

from actsearch_cli.options import RUNS_DIR, Json, RunsDir, Store, existing_runs, shared_store

NAME = "runs"


def command(runs_dir: RunsDir = RUNS_DIR, store: Store = None, as_json: Json = False) -> None:
    """List the runs under a folder, or those of a shared database."""
    from actsearch.errors import RunError
    from actsearch_cli.status import best_line, document

    documents = []
    for folder in existing_runs(runs_dir, store):
        try:
            documents.append(document(folder))
        except RunError as err:  # one that is being made, or half copied: the others are still there to be seen
            print(f"{folder.shown}: {err}", file=sys.stderr)
    if as_json:
        print(json.dumps(documents, indent=2, ensure_ascii=False))
        return
    if not documents:
        where = f"under {runs_dir}" if shared_store(store) is None else "in the database"
        print(f"no runs {where} yet; start one with `actsearch search`")
    for run in documents:
        found = best_line(run["best"])
        print(f"{run['run']:<24} {run['state']:<12} {run['evaluations']['told']:>6} evaluations   {found}")
