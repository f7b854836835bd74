"""Exported files: each format against the module, run where the project is out of sight."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from actsearch.activation import Activation
from actsearch.config import SpaceSettings
from actsearch.errors import ConfigError, ExpressionError, RunError
from actsearch.exact.conditioning import conditioning
from actsearch.export import (
    ExportedFunction,
    jax_file,
    latex_file,
    onnx_model,
    sympy_file,
    torch_file,
    winner,
)
from actsearch.export.code import WIDTH, parts, statement, tidy
from actsearch.export.reference import POINTS, gradient_rows, value_rows
from actsearch.expression import Expression, expression_of
from actsearch.formula import Formula
from actsearch.functions import sigmoid
from actsearch.identity import canonical, is_finite
from actsearch.leaderboard import finals_first, leaderboard
from actsearch.primitives import BINARY, UNARY
from actsearch.reader import read
from actsearch.space import Space
from tests.actsearch.stored_run import SWISH_GAIN, SWISH_MEAN, stored_run

CLEAN = Path(__file__).with_name("clean_interpreter.py")

TOKENS = (
    ("scale", "identity", "gate"),
    ("negative", "abs", "mix"),
    ("square", "sqrt", "divide"),
    ("cube", "log", "max"),
    ("shift", "exp", "rbf"),
    ("sin", "cos", "multiply"),
    ("sinh", "tanh", "laplace"),
    ("cosh", "atan", "min"),
    ("asinh", "sinc", "subtract"),
    ("relu", "sigmoid", "max"),
    ("min0", "softplus", "add"),
    ("gaussian", "erf", "multiply"),
    ("constant", "identity", "max"),
    ("x", "x", "scale", "tanh", "mix", "unit1", "x", "sinc", "identity", "gate"),
)
TEXTS = (
    "x*sigmoid(1.702*x)",
    "step(x - beta)*x/3 + sign(x)*exp(-beta2*abs(x)) + max(x, 0.5) - min(x, 2, -1)",
    "beta**2 + 1",
    "2.5",
    "(1 + x**2)**-0.5 + pi*x**3/sqrt(2) + 2**beta",
    "sin(x)**2 + exp(sin(x)) + 0.75*x",
)
CHECKED_BY_ITSELF = "sinc_slope(beta*x)"
"""No form of the search space: the module's derivative of it has no value at 0."""
BETAS = np.array([[1.0, 0.5, 1.5, 0.25, 2.0], [0.25, 1.0, -0.5, 0.75, 1.25], [0.5, 1.75, 1.0, 0.125, 0.5]])


@cache
def functions() -> tuple[ExportedFunction, ...]:
    """The spread, one of it with a gain."""
    spread = [canonical(expression_of(Formula.from_tokens(tokens))) for tokens in TOKENS]
    spread += [canonical(read(text)) for text in TEXTS]
    return (ExportedFunction(spread[0], 1.75), *map(ExportedFunction, spread[1:]))


def test_the_spread_holds_every_primitive() -> None:
    used = {token for tokens in TOKENS for token in tokens}
    assert used >= {*UNARY, *BINARY}


def points(rows: int = 40) -> np.ndarray:
    """Inputs (rows, channels): small, large, and kinks."""
    x = np.random.default_rng(0).normal(0, 3, (rows, BETAS.shape[1]))
    x[:6] = np.array([0, 1e-3, -1e-3, 0.5, 1, -1])[:, None]
    return x


def run_clean(kind: str, files: Sequence[str], betas: Sequence[int], folder: Path) -> dict[str, np.ndarray]:
    """Runs the files in one clean interpreter; their results by `f<number>_<column>`."""
    for number, text in enumerate(files):
        (folder / f"f{number:04}.py").write_text(text, encoding="utf-8")
    counts: dict[str, Any] = {f"f{number:04}": np.array(count) for number, count in enumerate(betas)}
    np.savez(folder / "points.npz", x=points(), beta=BETAS, **counts)
    done = subprocess.run(
        [sys.executable, "-I", str(CLEAN), kind, str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    with np.load(folder / "results.npz") as results:
        return dict(results)


def run_checks(kind: str, folder: Path) -> str:
    """Runs every file's own check in one clean interpreter; what it printed."""
    done = subprocess.run(
        [sys.executable, "-I", str(CLEAN), f"{kind}-checks", str(folder)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@cache
def module_results(number: int) -> list[np.ndarray]:
    """Value, gradient by x and by each β, of the spread's function as `Activation` in float64."""
    function = functions()[number]
    module = Activation(function.expression, gain=function.gain, channels=BETAS.shape[1], backend="eager")
    for parameter, beta in zip(module.betas().values(), BETAS, strict=False):
        parameter.data = torch.tensor(beta)
    x = torch.tensor(points(), requires_grad=True)
    y = module(x)
    slopes = torch.autograd.grad((y + 0 * x).sum(), [x, *module.betas().values()])
    return [t.detach().numpy() for t in (y, *slopes)]


@pytest.mark.parametrize(("kind", "write"), [("torch", torch_file), ("jax", jax_file)])
def test_a_file_agrees_with_the_module_where_the_project_is_out_of_sight(
    kind: str, write: Callable[[ExportedFunction], str], tmp_path: Path
) -> None:
    written = [*functions(), ExportedFunction.of_text(CHECKED_BY_ITSELF)]
    results = run_clean(kind, [write(f) for f in written], [len(f.betas) for f in written], tmp_path)
    for number, function in enumerate(functions()):
        for column, expected in enumerate(module_results(number)):
            actual = results[f"f{number:04}_{column}"]
            # 1e-9: both are float64; the widest cancellation here is that of sinh at 9
            np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-11, err_msg=f"{function.text}, {column}")


def test_a_sympy_file_agrees_with_the_module(tmp_path: Path) -> None:
    results = run_clean("sympy", [sympy_file(f) for f in functions()], [len(f.betas) for f in functions()], tmp_path)
    for number in range(len(functions())):
        np.testing.assert_allclose(results[f"f{number:04}_0"], module_results(number)[0][0], rtol=1e-9, atol=1e-11)


def onnx_values(function: ExportedFunction, x: np.ndarray, shape: Sequence[str | int]) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx_model(function, shape), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def test_an_onnx_model_agrees_with_the_module() -> None:
    x = points().astype(np.float32)
    for function in functions():
        expected = (
            Activation(function.expression, gain=function.gain, channels=5, backend="eager")(torch.tensor(x))
            .detach()
            .numpy()
        )
        for shape in (("N", "C"), ("N", 5)):
            actual = onnx_values(function, x, shape)
            # 2e-5: float32 through a dozen operations, and x**3 - log; 1e-5: Sigmoid's own error times x
            np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-5, err_msg=function.text)


@pytest.mark.parametrize(
    "text", ["softplus(x)", "sigmoid(x)*sinh(x)", "log(sigmoid(x) + 1e-5)", "sinc(x)", "x*sigmoid(x)"]
)
def test_onnx_holds_far_out(text: str) -> None:
    x = np.array([-80, -60, -20, -1e-30, 0, 1e-3, 20, 80], dtype=np.float32)
    function = ExportedFunction.of_text(text)
    np.testing.assert_allclose(onnx_values(function, x, ["N"]), function.expression.values(x), rtol=1e-5, atol=1e-6)


def test_an_onnx_model_says_what_it_is() -> None:
    model = onnx.load_from_string(onnx_model(functions()[0], ("N", "T", 64)))
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    assert model.producer_name == "actsearch"
    assert "f(x) = 1.75*x*sigmoid(beta*x)" in model.doc_string
    (beta,) = (i for i in model.graph.initializer if i.name == "beta")
    assert list(beta.dims) == [64]
    (beta,) = (
        i
        for i in onnx.load_from_string(onnx_model(functions()[0], ("N", 8, "H", "W"))).graph.initializer
        if i.name == "beta"
    )
    assert list(beta.dims) == [8, 1, 1]
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["N", "T", 64]
    with pytest.raises(ConfigError, match="at most one number, the channels, got '3,4'"):
        onnx_model(functions()[0], (3, 4))


def test_onnx_without_its_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx.helper", None)
    with pytest.raises(ConfigError, match=r"needs the package onnx: pip install onnx"):
        onnx_model(functions()[0])


def test_a_file_runs_by_itself_and_notices_a_wrong_number(tmp_path: Path) -> None:
    file = tmp_path / "swish.py"
    file.write_text(sympy_file(functions()[0]))
    done = subprocess.run([sys.executable, "-I", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"ok: f matches 12 exact values, within \de-\d\d\n", done.stdout)
    file.write_text(file.read_text().replace("0.5, -0.9577", "0.5, -0.9578"))
    done = subprocess.run([sys.executable, "-I", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("wrong: f is off by ")


@pytest.mark.parametrize("write", [torch_file, jax_file])
def test_a_file_prints_one_line_when_run(write: Callable[[ExportedFunction], str], tmp_path: Path) -> None:
    body = write(functions()[0]).partition('if __name__ == "__main__":')[2]
    assert body.count("print(") == 1
    assert body.count("sys.exit(") == 1


# --- text ------------------------------------------------------------------------------------------------------------


def test_a_swish_reads_as_a_person_would_write_it() -> None:
    text = torch_file(ExportedFunction.of_text("sigmoid(beta*x)*x"))
    assert "class Swish(nn.Module):" in text
    assert "return x * torch.sigmoid(beta * x)\n" in text
    assert "torch.full((channels,), 1.0, dtype=torch.float32)" in text
    assert "actsearch" not in text
    assert "def swish(x: Array, beta: Array | float = 1.0) -> Array:" in jax_file(
        ExportedFunction.of_text("sigmoid(beta*x)*x")
    )


@pytest.mark.parametrize("write", [torch_file, jax_file, sympy_file])
def test_every_file_is_python_with_short_lines(write: Callable[[ExportedFunction], str]) -> None:
    for function in functions():
        text = write(function)
        ast.parse(text)
        assert max(map(len, text.splitlines())) <= 110, function.text
        assert text.endswith("\n")
        assert not [a for a, b in pairwise(text.splitlines()) if a.endswith(" ")]


def test_latex() -> None:
    text = latex_file(ExportedFunction.of_text("x*sigmoid(beta*x) + beta2; beta2=0.5"))
    assert text.splitlines()[-1].startswith(r"f(x) = \beta")
    assert r"% \sigma(u) = 1/(1 + e^{-u})" in text
    assert r"% \beta_{2} is trainable, one a channel, and starts at 1" in text or r"starts at 0.5" in text
    assert r"f(x) = 1.75 \cdot x \sigma\left(\beta x\right)" in latex_file(functions()[0])
    assert r"f(x) = 2 \cdot \left(x + 1\right)" in latex_file(ExportedFunction(read("x + 1"), 2.0))


@pytest.mark.parametrize(("text", "code"), [
    ("x**2/(x + 1e-5)", "x**2 / (x + 1e-5)"), ("1.702*x", "1.702 * x"), ("-3*x/4", "-0.75 * x"), ("x/3", "x / 3"),
    ("(x + 1)**-2", "1 / (x + 1) ** 2"), ("sqrt(2)*x", "math.sqrt(2) * x"), ("pi*x", "math.pi * x"),
    ("-min(x, 0)", "torch.relu(-x)"), ("min(x, 0)", "-torch.relu(-x)"), ("max(x, 0.5)", "torch.maximum(x, x.new_tensor(0.5))"),
    ("sin(1)*x", "x * 0.8414709848078965"), ("1 - x", "1 - x"), ("2**-x", "2 ** (-x)"),
])  # fmt: skip
def test_code_reads_like_the_formula(text: str, code: str) -> None:
    assert f"return {code}\n" in torch_file(ExportedFunction.of_text(text)).replace("y = ", "return ")


def test_parts_are_named_where_that_saves_work() -> None:
    named, result = parts(read("sin(x)**2 + sin(x)").expr)
    assert [(name, str(value)) for name, value in named] == [("sin_x", "sin(x)")]
    assert str(result) == "sin_x**2 + sin_x"
    assert parts(read("-x*exp(-x)").expr)[0] == []
    named, _ = parts(read("exp(x*sigmoid(beta*x)) + x*sigmoid(beta*x)").expr)
    assert [name for name, _ in named] == ["u1"]


def test_long_code_breaks_at_operators_and_means_the_same() -> None:
    code = tidy(" - ".join(f"(alpha{k}*cos(beta{k} - (x - {k}))/(x*(y - {k})))" for k in range(9)))
    lines = statement("y = ", code, 8)
    assert len(lines) > 3
    assert max(map(len, lines)) <= WIDTH
    tree = ast.parse("if True:\n" + "\n".join(lines)).body[0]
    assert isinstance(tree, ast.If)
    assert ast.unparse(tree.body[0]) == f"y = {ast.unparse(ast.parse(code))}"


def test_names() -> None:
    assert ExportedFunction.of_text("max(x, x/100)").class_name == "LeakyReLU"
    assert ExportedFunction.of_text("x*sigmoid(1.702*x)").function_name == "gelu_sigmoid_form"
    assert ExportedFunction.of_text("cos(x) - x").class_name == "Activation"
    assert ExportedFunction.of_text("sinc(x)").function_name != "sinc"  # the file's own helper
    assert ExportedFunction.of_text("-x*sigmoid(beta*x)").class_name == "Activation"


def test_what_a_run_says_cannot_leave_the_docstring() -> None:
    evil = ExportedFunction(read("x"), 1.0, ('search """\nimport os\r\u2028\x00raise SystemExit(3) \\',))
    for write in (torch_file, jax_file, sympy_file):
        tree = ast.parse(write(evil))
        assert isinstance(tree.body[0], ast.Expr)
        assert "raise SystemExit" in str(ast.get_docstring(tree))
        assert not [n for n in ast.walk(tree) if isinstance(n, ast.Raise)]
    assert all(line.startswith(("%", "f(x) = ")) for line in latex_file(evil).splitlines())


# --- exact numbers ----------------------------------------------------------------------------------------------------


def test_reference_rows_are_exact() -> None:
    import mpmath

    rows = gradient_rows(ExportedFunction(read("x*sigmoid(beta*x)"), 1.5))
    assert [row[0] for row in rows] == list(POINTS)
    assert len({row[1] for row in rows}) > 3
    for x, beta, value, slope, by_beta in rows:
        s = 1 / (1 + mpmath.exp(-mpmath.mpf(beta) * x))
        assert value == pytest.approx(float(1.5 * x * s), rel=1e-15)
        assert slope == pytest.approx(float(1.5 * (s + x * beta * s * (1 - s))), rel=1e-13)
        assert by_beta == pytest.approx(float(1.5 * x**2 * s * (1 - s)), rel=1e-13)


def test_reference_leaves_out_what_float64_cannot_hold() -> None:
    rows = value_rows(ExportedFunction(read("cosh(x) - sinh(x)")))
    assert {row[0] for row in rows} < set(POINTS)
    assert 10.0 not in {row[0] for row in rows}


@pytest.mark.parametrize("text", ["log(-1 - x**2)", "x + 1e40"])
def test_a_function_that_no_point_checks_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"at none of 12 points .* are its value and slopes at most 1e\+12 and"):
        torch_file(ExportedFunction.of_text(text))


# --- a run's winner ---------------------------------------------------------------------------------------------------


def test_winners_by_rank_with_gain_and_betas(tmp_path: Path) -> None:
    with stored_run(tmp_path).open() as (store, run):
        texts = [winner(store, run, rank=k).expression.full_text for k in (1, 2, 3, 4)]
        assert texts == ["beta*x*sigmoid(x)", "x*sigmoid(beta*x)", "beta + x + sin(x); beta=0", "max(x, 0)"]
        swish = winner(store, run, rank=2)
        assert (swish.gain, swish.betas) == (SWISH_GAIN, {"beta": 1.0})
        assert swish.origin[0].startswith("Found by run first: number 2 of 4 trained functions, reward 0.9000")
        trained = winner(store, run, rank=2, beta="mean")
        assert trained.betas["beta"] == pytest.approx(SWISH_MEAN, rel=1e-5)
        assert winner(store, run, rank=4, beta="mean").betas == {}
        for rank in (0, 5):
            with pytest.raises(RunError, match=f"run 'first' has 4 trained functions, got --rank {rank}"):
                winner(store, run, rank=rank)
        with pytest.raises(RunError, match=r"no trained beta of 'beta\*x\*sigmoid\(x\)' is stored"):
            winner(store, run, beta="mean")


def test_what_finals_compared_comes_before_what_the_search_ranked(tmp_path: Path) -> None:
    """The search's third was the finals' best, a control that it never proposed second, its first third."""
    texts = ("beta + x + sin(x); beta=0", "x*sigmoid(x)", "beta*x*sigmoid(x)")
    rows = [SimpleNamespace(candidate=SimpleNamespace(canonical=text)) for text in texts]
    finals: Any = SimpleNamespace(result=SimpleNamespace(rows=rows))
    not_done: Any = SimpleNamespace(result=None)
    with stored_run(tmp_path).open() as (store, run):
        entries = leaderboard(store.evaluations(run))
    found = [entry.record.canonical for entry in finals_first(entries, finals)]
    assert found == ["beta + x + sin(x); beta=0", "beta*x*sigmoid(x)", "x*sigmoid(beta*x)", "max(x, 0)"]
    assert finals_first(entries, not_done) == entries
    assert finals_first(entries, None) == entries


def test_a_function_counts_once_however_often_it_trained(tmp_path: Path) -> None:
    with stored_run(tmp_path).open() as (store, run):
        records = store.evaluations(run)
        again = [replace(r, number=r.number + 100) for r in records]
        assert [e.record.number for e in leaderboard([*again, *records])] == [
            e.record.number for e in leaderboard(records)
        ]


def test_min_of_a_power_keeps_its_sign() -> None:
    assert "return (-torch.relu(-x)) ** 2" in torch_file(ExportedFunction.of_text("min(x, 0)**2")).replace(
        "y = ", "return "
    )


# --- the whole space --------------------------------------------------------------------------------------------------


@cache
def sample_of_the_space() -> tuple[ExportedFunction, ...]:
    """The distinct finite functions among every seventh string of one unit; all of them passed once."""
    forms: dict[str, Expression] = {}
    for formula in islice(Space(SpaceSettings(units=1)).enumerate(), 0, None, 7):
        form = canonical(expression_of(formula))
        if is_finite(form):
            forms.setdefault(form.full_text, form)
    return tuple(map(ExportedFunction, forms.values()))


@pytest.fixture(scope="module")
def written_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of files for torch and one for jax."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in ("torch", "jax")}
    for number, function in enumerate(sample_of_the_space()):
        for kind, write in (("torch", torch_file), ("jax", jax_file)):
            (folders[kind] / f"f{number:04}.py").write_text(write(function), encoding="utf-8")
    return folders


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["torch", "jax"])
def test_a_seventh_of_the_one_unit_space_matches_exact_values(kind: str, written_files: dict[str, Path]) -> None:
    assert len(sample_of_the_space()) > 700
    checked = run_checks(kind, written_files[kind])
    assert checked == f"{len(sample_of_the_space())} checked\n"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_seventh_of_the_one_unit_space_as_onnx() -> None:
    x = np.concatenate([points(10).flatten(), [20, -20, 1e-8, 100, -100]]).astype(np.float32)
    for function in sample_of_the_space():
        actual = onnx_values(function, x, ("N",)).astype(np.float64)
        bounds = conditioning(function.expression, x.astype(np.float64), function.betas, dtype=np.float32)
        held = ~(bounds.overflows | bounds.ill_conditioned)
        error = np.abs(actual - function.expression.values(x))
        # ONNX Runtime's own Sigmoid is right to 1e-7 absolutely; a cube may stand beside it
        room = bounds.room + (
            1e-7 * (1 + np.abs(x.astype(np.float64)) ** 3) if function.expression.expr.has(sigmoid) else 0
        )
        assert (error <= room)[held].all(), (function.text, x[held & ~(error <= room)], error[held & ~(error <= room)])
