"""What `kubectl kustomize` makes of the folders under deploy/kubernetes, as far as they ask for it.

Resources of files and other folders, components, and patches as RFC 6902 lists; any other request is an error here.
"""

import copy
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]


def render(folder: Path, given: list[Document] | None = None) -> list[Document]:
    """The documents of a kustomization; a component's are those given, patched, and its own."""
    file = yaml.safe_load((folder / "kustomization.yaml").read_text())
    unknown = set(file) - {"apiVersion", "kind", "namespace", "resources", "components", "patches"}
    assert not unknown, f"{folder}: {unknown}"
    documents = list(given or [])
    for name in file.get("resources", []):
        documents += render(folder / name) if (folder / name).is_dir() else read(folder / name)
    for name in file.get("components", []):
        documents = render(folder / name, documents)
    for patch in file.get("patches", []):
        (target,) = (n for n, document in enumerate(documents) if is_named(document, **patch["target"]))
        documents[target] = patched(documents[target], yaml.safe_load(patch["patch"]))
    return documents


def read(file: Path) -> list[Document]:
    """The documents of a file of manifests."""
    return list(yaml.safe_load_all(file.read_text()))


def is_named(document: Document, kind: str, name: str) -> bool:
    return (document["kind"], document["metadata"]["name"]) == (kind, name)


def patched(document: Document, operations: list[Document]) -> Document:
    """A document after `test`, `add` and `replace` (RFC 6902)."""
    document = copy.deepcopy(document)
    for operation in operations:
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        place: Any = document
        for part in way:
            place = place[int(part) if isinstance(place, list) else part]
        key: Any = int(last) if isinstance(place, list) else last
        if operation["op"] == "test":
            assert place[key] == operation["value"]
        else:
            assert operation["op"] in ("add", "replace")
            assert operation["op"] == "add" or place[key] is not None, "nothing there to replace"
            place[key] = operation["value"]
    return document
