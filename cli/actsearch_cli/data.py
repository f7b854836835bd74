"""`actsearch data`: the data sets and how to get them."""

import json
from typing import Annotated

import typer

from actsearch_cli.options import Json, data_dir

app = typer.Typer(help="List data sets, download one.", rich_markup_mode=None)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the data sets and whether they are on this machine."""
    from actsearch.errors import CallerError
    from actsearch_workers.data import DATASETS, check_dataset

    rows = []
    for name, source in DATASETS.items():
        shown = f"{name}:{source.argument}" if source.argument else name
        here = None
        if not source.argument:
            try:
                check_dataset(name, data_dir=data_dir())
                here = True
            except CallerError:
                here = False
        rows.append({"name": shown, "here": here, "summary": source.summary, "licence": source.licence})
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        state = {True: "here", False: "missing", None: ""}[row["here"]]  # type: ignore[index]
        print(f"{row['name']:<36} {state:<8} {row['summary']} ({row['licence']})")
    print(f"{'module:function':<36} {'':<8} your own arrays: (train, validation, test), each (images, labels)")
    print(f"Downloads go to {data_dir()} (ACTSEARCH_DATA): `actsearch data fetch cifar10`.")


@app.command()
def fetch(name: Annotated[str, typer.Argument(help="cifar10, cifar100 or fashion-mnist.", show_default=False)]) -> None:
    """Download a data set once, check it and store it where workers look."""
    from actsearch.errors import ActsearchError
    from actsearch_workers import data

    data.check_fetchable(name)
    print(f"fetching {name} into {data_dir()} …")
    try:
        data.fetch(name, data_dir())
    except OSError as err:
        raise ActsearchError(f"could not fetch {name}: {err}") from err
    print(f"{name} is in {data_dir()}")
