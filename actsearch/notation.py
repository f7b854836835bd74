"""A formula of the search space as plain mathematics, and back.

Writing puts each primitive's text into the holes of the next one; reading matches a text against the same templates.
Reading returns a formula with exactly that text, or refuses: `2*x` is a fine expression but no formula.
"""

import ast
import copy
import re
from collections.abc import Iterator, Mapping

from actsearch.errors import FormulaError
from actsearch.expression import beta_name
from actsearch.formula import MAX_UNITS, CoreUnit, Formula
from actsearch.primitives import BINARY, UNARY, Primitive
from actsearch.reader import parse

_TEMPLATES = {id(p): ast.parse(p.text, mode="eval").body for p in (*UNARY.values(), *BINARY.values())}
_BETA = re.compile(r"beta\d*")


def write(formula: Formula) -> str:
    """The formula as plain mathematics, primitives in full, β numbered from left to right of the tree."""
    outputs: dict[int, ast.expr] = {0: ast.Name("x")}
    betas = 0

    def applied(primitive: Primitive, index: int) -> ast.expr:
        return filled(primitive, {} if primitive is UNARY["constant"] else {"x": output(index)})

    def filled(primitive: Primitive, holes: Mapping[str, ast.expr]) -> ast.expr:
        nonlocal betas
        if primitive.beta is not None:
            holes = {**holes, "beta": ast.Name(beta_name(betas))}
            betas += 1
        return _fill(_TEMPLATES[id(primitive)], holes)

    def output(index: int) -> ast.expr:
        if index not in outputs:
            unit = formula.units[index - 1]
            unary1, unary2, binary = unit.primitives
            x1, x2 = applied(unary1, unit.input1), applied(unary2, unit.input2)
            outputs[index] = filled(binary, {"x1": x1, "x2": x2})
        return outputs[index]

    return ast.unparse(output(len(formula.units)))


def match(text: str) -> Formula:
    """A formula whose text is the one given, with as few units as possible.

    Raises:
        ExpressionError: a text that is no expression.
        FormulaError: an expression that no composition of core units has as its text.
    """
    tree = parse(text)
    wanted = ast.unparse(tree)
    found = []
    for unit in _units(tree, {}):
        units: list[CoreUnit] = []
        _flatten(unit, units)
        if len(units) <= MAX_UNITS and write(formula := Formula(tuple(units))) == wanted:
            found.append(formula)
    if found:
        return min(found, key=lambda formula: len(formula.units))
    raise FormulaError(
        f"{wanted[:60]!r} is no formula of core units b(u1(x), u2(x)); "
        "`actsearch show` takes any expression, a search takes formulas such as sigmoid(beta * x) * x"
    )


_Unit = tuple[str, "_Tree", str, "_Tree", str]
"""unary 1, its input, unary 2, its input, binary."""
_Tree = _Unit | None
"""A unit, or None for x."""


def _units(node: ast.expr, seen: dict[str, tuple[_Unit, ...]]) -> tuple[_Unit, ...]:
    """Every unit tree that a syntax tree could be."""
    key = ast.dump(node)
    if key not in seen:
        seen[key] = ()  # a node inside itself: identity of identity, which never ends
        seen[key] = tuple(
            (unary1, input1, unary2, input2, binary)
            for binary, holes in _matches(BINARY, node)
            for unary1, input1 in _inputs(holes["x1"], seen)
            for unary2, input2 in _inputs(holes["x2"], seen)
        )[:64]
    return seen[key]


def _inputs(node: ast.expr, seen: dict[str, tuple[_Unit, ...]]) -> Iterator[tuple[str, _Tree]]:
    for name, holes in _matches(UNARY, node):
        inner = holes.get("x", ast.Name("x"))
        if isinstance(inner, ast.Name) and inner.id == "x":
            yield name, None
        else:
            yield from ((name, unit) for unit in _units(inner, seen))


def _matches(table: Mapping[str, Primitive], node: ast.expr) -> Iterator[tuple[str, dict[str, ast.expr]]]:
    for name, primitive in table.items():
        holes: dict[str, ast.expr] = {}
        if _fits(_TEMPLATES[id(primitive)], node, holes):
            yield name, holes


def _fits(template: ast.AST, node: ast.AST, holes: dict[str, ast.expr]) -> bool:
    """Whether the node is the template with its holes filled; fills `holes`."""
    if isinstance(template, ast.Name) and template.id in ("x", "x1", "x2", "beta"):
        if not isinstance(node, ast.expr):
            return False
        if template.id == "beta" and not (isinstance(node, ast.Name) and _BETA.fullmatch(node.id)):
            return False
        return ast.dump(holes.setdefault(template.id, node)) == ast.dump(node)
    if type(template) is not type(node):
        return False
    if isinstance(template, ast.Name | ast.Constant):
        return ast.dump(template) == ast.dump(node)
    left, right = list(ast.iter_child_nodes(template)), list(ast.iter_child_nodes(node))
    return len(left) == len(right) and all(_fits(a, b, holes) for a, b in zip(left, right, strict=True))


def _fill(template: ast.expr, holes: Mapping[str, ast.expr]) -> ast.expr:
    class Filler(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return copy.deepcopy(holes.get(node.id, node))  # unparse keeps precedence by node: none may stand twice

    filled: ast.expr = Filler().visit(ast.parse(ast.unparse(template), mode="eval").body)
    return filled


def _flatten(tree: _Unit, units: list[CoreUnit]) -> int:
    """Appends the tree's units, inputs first, each distinct one once; returns the last one's index."""
    unary1, input1, unary2, input2, binary = tree
    first = 0 if input1 is None else _flatten(input1, units)
    second = 0 if input2 is None else _flatten(input2, units)
    unit = CoreUnit(unary1, unary2, binary, first, second)
    if unit not in units:
        units.append(unit)
    return units.index(unit) + 1
