"""Runs exported files in an interpreter of its own: `python -I clean_interpreter.py KIND FOLDER`.

Imports nothing of the project. Every file of the folder is checked by its own `check`, then its values and gradients at
the points of `points.npz` are written to `results.npz`; a failure is printed and ends the process with 1.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def of_torch(module: ModuleType, x: np.ndarray, betas: list[np.ndarray]) -> list[np.ndarray]:
    """Value, gradient by x and by each β, of x of shape (rows, channels)."""
    import torch

    (kind,) = (
        t
        for t in vars(module).values()
        if isinstance(t, type) and issubclass(t, torch.nn.Module) and t.__module__ == module.__name__
    )
    activation = kind(channels=x.shape[1])
    parameters = list(activation.parameters())
    assert [p.dtype for p in parameters] == [torch.float32] * len(betas)
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        assert activation(torch.ones(2, x.shape[1], 3, 3, dtype=dtype)).dtype == dtype
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert activation(torch.ones(2, x.shape[1])).dtype == torch.float32
        assert activation(torch.ones(2, x.shape[1], dtype=torch.bfloat16)).dtype == torch.bfloat16
    for parameter, beta in zip(parameters, betas, strict=True):
        parameter.data = torch.tensor(beta)
    inputs = torch.tensor(x, requires_grad=True)
    y = activation(inputs)
    last = type(activation)(channels=x.shape[1], channel_dim=-1)
    for parameter, beta in zip(last.parameters(), betas, strict=True):
        parameter.data = torch.tensor(beta)
    assert torch.equal(last(inputs), y)
    slopes = torch.autograd.grad((y + 0 * inputs).sum(), [inputs, *parameters])
    return [t.detach().numpy() for t in (y, *slopes)]


def of_jax(module: ModuleType, x: np.ndarray, betas: list[np.ndarray]) -> list[np.ndarray]:
    """The same of a pure function."""
    import jax
    import jax.numpy as jnp

    helpers = ("absolute", "sinc", "sinc_slope", "step", "check")
    (function,) = (
        f for n, f in vars(module).items() if getattr(f, "__module__", "") == module.__name__ and n not in helpers
    )
    assert jax.eval_shape(function, jnp.ones((2, 3), dtype=jnp.bfloat16)).dtype == jnp.bfloat16

    def total(x: Any, *betas: Any) -> Any:
        y = function(x, *betas)
        return y.sum(), y

    slopes, y = jax.jit(jax.grad(total, argnums=tuple(range(1 + len(betas))), has_aux=True))(x, *betas)
    return [np.asarray(a) for a in (y, *slopes)]


def of_sympy(module: ModuleType, x: np.ndarray, betas: list[np.ndarray]) -> list[np.ndarray]:
    """The value alone, at the first row."""
    symbols = [module.x, *getattr(module, "START", {})]
    rows = zip(x[0], *betas, strict=True)
    return [np.array([float(module.f.subs(dict(zip(symbols, row, strict=True))).evalf()) for row in rows])]


def main(kind: str, folder: Path) -> None:
    if kind.startswith("jax"):
        import jax

        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
        # a thousand files: one compilation an operation and shape, in place of one a file
        jax.config.update("jax_disable_jit", kind == "jax-checks")  # type: ignore[no-untyped-call]
    failed = run_checks(folder) if kind.endswith("-checks") else run_all(kind, folder)
    assert "actsearch" not in sys.modules, "an exported file imports the project"
    if failed:
        sys.exit("\n".join(failed))


def run_checks(folder: Path) -> list[str]:
    """Every file's own check, at twelve points each; what failed."""
    failed = []
    paths = sorted(folder.glob("f*.py"))
    for path in paths:
        try:
            module = load(path)
            module.__dict__["REFERENCE"] = (module.REFERENCE * 12)[:12]
            error = module.check()
            assert error < 1e-9, f"check is off by {float(error):.1e}"
        except Exception as err:
            failed.append(f"{path.stem}: {type(err).__name__}: {err}")
    print(len(paths), "checked")  # noqa: T201
    return failed


def run_all(kind: str, folder: Path) -> list[str]:
    """Every file's own check, and its values and gradients at the given points; what failed."""
    points = np.load(folder / "points.npz")
    results: dict[str, Any] = {}
    failed = []
    for number, path in enumerate(sorted(folder.glob("f*.py"))):
        try:
            module = load(path)
            # jax compiles each check anew; every fourth is enough here, the slow tests run them all
            error = module.check() if kind != "jax" or number % 4 == 0 else 0.0
            assert error < 1e-9, f"check is off by {float(error):.1e}"
            betas = [points["beta"][k] for k in range(int(points[path.stem]))]
            found = {"torch": of_torch, "jax": of_jax, "sympy": of_sympy}[kind](module, points["x"], betas)
            results |= {f"{path.stem}_{k}": values for k, values in enumerate(found)}
        except Exception as err:
            failed.append(f"{path.stem}: {type(err).__name__}: {err}")
    np.savez(folder / "results.npz", **results)
    return failed


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
