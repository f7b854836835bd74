"""docs/settings.md says of every setting what actsearch/config.py says, and of children and data sets their tables."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from actsearch import config
from actsearch.config import (
    ChildSettings,
    EarlyStoppingSettings,
    FinalsSettings,
    PPOSettings,
    Recipe,
    RunConfig,
    Settings,
    SpaceSettings,
)
from actsearch_workers.children import BN_RECIPE, CHILDREN
from actsearch_workers.data import DATASETS

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
MARK = "--update-golden -->\n"
TABLES: dict[str, type[Settings]] = {
    "": RunConfig,
    "space": SpaceSettings,
    "child": ChildSettings,
    "recipe": Recipe,
    "ppo": PPOSettings,
    "early_stopping": EarlyStoppingSettings,
    "finals": FinalsSettings,
}
BOUNDS = {Ge: ("≥ {}", "ge"), Gt: ("> {}", "gt"), Le: ("≤ {}", "le"), Lt: ("< {}", "lt")}


def test_the_page_has_every_setting(pytestconfig: pytest.Config) -> None:
    head, mark, rest = PAGE.read_text(encoding="utf-8").partition(MARK)
    assert mark
    made = "\n".join(page())
    if pytestconfig.getoption("--update-golden"):
        PAGE.write_text(head + mark + made, encoding="utf-8")
        rest = made
    assert rest == made, "run: pytest tests/test_settings_reference.py --update-golden"
    for model in TABLES.values():
        assert all(f"| `{name}` |" in rest for name in model.model_fields)


def page() -> Iterator[str]:
    for name, model in TABLES.items():
        yield from ("", f"## `[{name}]`" if name else "## At the top", "")
        if name:
            yield from (inspect.cleandoc(model.__doc__ or ""), "")
        yield from ("| setting | values | default | meaning |", "| --- | --- | --- | --- |")
        texts = docstrings(model)
        for key, field in model.model_fields.items():
            if key in TABLES:
                yield f"| `{key}` | a table | | below |"
            else:
                yield f"| `{key}` | {values(field)} | {shown(field.default)} | {texts[key]} |"
    yield from ("", "## Children", "")
    yield "`child.name`, and the recipe that each starts from; what it does not say is as above but `clip_norm`, 0 where batch norm is."
    yield from ("", "| child | what it is | steps | learning rate | crops |", "| --- | --- | --- | --- | --- |")
    for entry in CHILDREN.values():
        recipe = entry.recipe
        padding = f"{recipe.crop_padding} pixels" if recipe.crop_padding else "none"
        yield f"| `{entry.name}` | {entry.summary} | {recipe.steps:,} | {recipe.learning_rate:g} | {padding} |"
    yield f"| `module:function` | your own network | {BN_RECIPE.steps:,} | {BN_RECIPE.learning_rate:g} | none |"
    yield from ("", "## Data sets", "")
    yield "`dataset`; three numbers of images are training, validation and test. `actsearch data list` says which are on this machine."
    yield from ("", "| data set | what it is | licence |", "| --- | --- | --- |")
    for name, source in DATASETS.items():
        shown_name = f"{name}:{source.argument}" if source.argument else name
        yield f"| `{shown_name}` | {source.summary} | {source.licence} |"
    yield "| `module:function` | your own arrays | yours |"
    yield ""


def docstrings(model: type[Settings]) -> dict[str, str]:
    """The text under each field; a field without one is a KeyError above."""
    (cls,) = [n for n in ast.parse(inspect.getsource(config)).body if getattr(n, "name", "") == model.__name__]
    assert isinstance(cls, ast.ClassDef)
    found = {}
    for field, text in zip(cls.body, cls.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            assert isinstance(field.target, ast.Name)
            found[field.target.id] = " ".join(str(text.value.value).split()).replace("|", "\\|")
    return found


def values(field: FieldInfo) -> str:
    """Its type and bounds, in words."""
    annotation = str(field.annotation)
    kinds = {"<class 'int'>": "whole number", "<class 'float'>": "number", "<class 'bool'>": "true, false"}
    kinds |= {"int | None": "whole number", "float | None": "number", "<class 'str'>": "text"}
    literals = getattr(field.annotation, "__args__", ()) if "Literal" in annotation else ()
    kind = ", ".join(f'"{v}"' for v in literals) or kinds.get(annotation, "list")
    bounds = [
        text.format(f"{getattr(m, at):,}") for m in field.metadata for c, (text, at) in BOUNDS.items() if type(m) is c
    ]
    return ", ".join([kind, *bounds])


def shown(default: Any) -> str:
    """As TOML has it; TOML has no word for None."""
    if default is None:
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, str):
        return f'`"{default}"`'
    return f"`{[*default]}`".replace("'", '"') if isinstance(default, tuple) else f"`{default:g}`"
