"""A program as machine code that passes over memory once: forward reads x and writes f(x), backward reads x and the
gradient and writes the gradients by x and β, with nothing in between stored.

For x86 with AVX2, Linux with glibc 2.35 or newer, and llvmlite; `unavailable` says what is missing.
"""

import ctypes
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Literal

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from actsearch.activation.program import Program
from actsearch.activation.vectors import Emitter, Lanes
from actsearch.expression import X

Layout = Literal["rows", "columns"]
"""Where a coefficient belongs: to a whole row of memory, or to a place in every row."""

_POINTER, _INDEX, _DOUBLE = ir.PointerType(), ir.IntType(64), ir.DoubleType()


@cache
def unavailable() -> str | None:
    """Why this machine cannot run the code, one line; None where it can."""
    try:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.load_library_permanently("libmvec.so.1")
    except (RuntimeError, OSError):
        return "no libmvec of glibc"
    if not llvm.get_host_cpu_features().get("avx2"):
        return "no x86 processor with AVX2"
    if not llvm.address_of_symbol("_ZGVdN8v_asinhf"):
        return "a glibc older than 2.35"
    return None


@cache
def lanes(dtype: type[np.floating]) -> Lanes:
    """The processor's widest registers, filled with float32 or float64; `RuntimeError` where `unavailable`."""
    if reason := unavailable():
        raise RuntimeError(f"machine code needs x86 with AVX2 and glibc 2.35; here is {reason}")
    return Lanes(dtype, 512 if llvm.get_host_cpu_features().get("avx512f") else 256)


@cache
def description() -> str:
    """Compiler, register and library, which decide the last bits: `LLVM 22, 512 bits, glibc 2.36`."""
    library = " ".join(platform.libc_ver())
    return f"LLVM {llvm.llvm_version_info[0]}, {lanes(np.float32).bits} bits, {library}"


@lru_cache(maxsize=512)
def kernel(program: Program, lanes: Lanes, layout: Layout, *, gradient: bool) -> Callable[..., None]:
    """The compiled loop.

    Without gradient `run(x, y, coefficients, gain, rows, period, pieces, length)` writes y = gain · f(x). With gradient
    `run(x, g, y, coefficients, sums, gain, rows, period, pieces, length)` writes y = g · gain · ∂f/∂x and adds the sums
    of g · gain · ∂f/∂β to `sums`. All but the last five are addresses:

    Args:
        program: what to compute.
        lanes: the registers to compute in.
        layout: rows: row r takes coefficient (r // pieces) mod period; columns: place i takes coefficient i.
        gradient: which of the two.

    x, g and y are ``(rows, length)`` and dense; coefficients has one row for each of the program's, of `period` values
    (rows) or `length` values (columns); sums is float64, with one such row for each β.
    """
    module = _Kernel(program, lanes, layout, gradient).module
    parsed = llvm.parse_assembly(str(module))
    target = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2, jit=True
    )
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()  # loop counters and sums into registers
    passes.run(parsed, llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options()))
    engine = llvm.create_mcjit_compiler(parsed, target)
    engine.finalize_object()
    gain = ctypes.c_float if lanes.dtype is np.float32 else ctypes.c_double
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (5 if gradient else 3), gain, *[ctypes.c_int64] * 4)
    run = signature(engine.get_function_address("run"))
    run.__dict__["engine"] = engine  # the code lives as long as its engine
    return run


class _Kernel:
    """Two nested loops around a program's body: rows of memory, registers of a row, the last one masked."""

    def __init__(self, program: Program, lanes: Lanes, layout: Layout, gradient: bool) -> None:
        self.program, self.lanes, self.layout, self.gradient = program, lanes, layout, gradient
        self.module = ir.Module()
        names = ["x", "g", "y", "coefficients", "sums"] if gradient else ["x", "y", "coefficients"]
        kinds = [_POINTER] * len(names) + [lanes.scalar] + [_INDEX] * 4
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), kinds), "run")
        for argument in function.args[: len(names)]:
            argument.add_attribute("noalias")
        self.at = dict(zip([*names, "gain", "rows", "period", "pieces", "length"], function.args, strict=True))
        self.build = ir.IRBuilder(function.append_basic_block())
        self._function()

    def _function(self) -> None:
        build, lanes, length = self.build, self.lanes, self.at["length"]
        whole = build.and_(length, _INDEX(-lanes.width))
        left = build.sub(length, whole)
        places = ir.Constant(ir.VectorType(_INDEX, lanes.width), list(range(lanes.width)))
        mask = build.icmp_unsigned("<", places, self._splat(left))
        self.gain = self._splat(self.at["gain"])
        self.totals = [build.alloca(lanes.vector) for _ in self.program.outputs[1:]]
        with self._loop(_INDEX(0), self.at["rows"], 1) as row:
            start = build.mul(row, length)
            channel = build.urem(build.udiv(row, self.at["pieces"]), self.at["period"])
            shared = self._row_coefficients(channel)
            for total in self.totals:
                build.store(lanes.number(0.0), total)
            with self._loop(_INDEX(0), whole, lanes.width) as place:
                self._body(start, place, shared, None)
            with build.if_then(build.icmp_unsigned(">", left, _INDEX(0))):
                self._body(start, whole, shared, mask)
            if self.gradient and self.layout == "rows":
                self._add_totals(channel)
        build.ret_void()

    @contextmanager
    def _loop(self, start: ir.Value, stop: ir.Value, step: int) -> Iterator[ir.Value]:
        """for i in range(start, stop, step), the limit being a multiple of the step away."""
        build = self.build
        counter = self._slot()
        build.store(start, counter)
        head, body, done = (build.append_basic_block() for _ in range(3))
        build.branch(head)
        build.position_at_end(head)
        index = build.load(counter, typ=_INDEX)
        build.cbranch(build.icmp_signed("<", index, stop), body, done)
        build.position_at_end(body)
        yield index
        build.store(build.add(index, _INDEX(step)), counter)
        build.branch(head)
        build.position_at_end(done)

    def _slot(self) -> ir.Value:
        with self.build.goto_entry_block():
            return self.build.alloca(_INDEX)

    def _row_coefficients(self, channel: ir.Value) -> list[ir.Value]:
        if self.layout == "columns":
            return []
        values = []
        for k in range(len(self.program.symbols)):
            place = self.build.add(self.build.mul(_INDEX(k), self.at["period"]), channel)
            values.append(self._splat(self.build.load(self._address("coefficients", place), typ=self.lanes.scalar)))
        return values

    def _body(self, start: ir.Value, place: ir.Value, shared: Sequence[ir.Value], mask: ir.Value | None) -> None:
        """One register of x, from memory to memory."""
        build, vector = self.build, self.lanes.vector
        here = build.add(start, place)
        emitter = Emitter(build, self.lanes)
        emitter.known[X] = self._load(self._address("x", here), vector, mask)
        for k, symbol in enumerate(self.program.symbols):
            emitter.known[symbol] = shared[k] if shared else self._load(self._column(k, place), vector, mask)
        scale = self.gain
        if self.gradient:
            scale = build.fmul(self._load(self._address("g", here), vector, mask), self.gain)
        result, *slopes = [build.fmul(scale, emitter.value(output)) for output in self.program.outputs]
        self._store(result, self._address("y", here), mask)
        for k, slope in enumerate(slopes):
            self._accumulate(k, slope, place, mask)

    def _accumulate(self, k: int, slope: ir.Value, place: ir.Value, mask: ir.Value | None) -> None:
        """Adds to the sum for the k-th β: over a row in the register's own type, over rows in float64."""
        build, vector = self.build, self.lanes.vector
        if mask is not None:  # what a formula makes of the zeros beyond the end may be infinite
            slope = build.select(mask, slope, self.lanes.number(0.0))
        if self.layout == "rows":
            build.store(build.fadd(build.load(self.totals[k], typ=vector), slope), self.totals[k])
            return
        wide = ir.VectorType(_DOUBLE, self.lanes.width)
        slope = slope if vector == wide else build.fpext(slope, wide)
        address = self._column(k, place, "sums", _DOUBLE)
        self._store(build.fadd(self._load(address, wide, mask), slope), address, mask)

    def _add_totals(self, channel: ir.Value) -> None:
        build, lanes = self.build, self.lanes
        name = f"llvm.vector.reduce.fadd.{lanes.suffix}"
        kind = ir.FunctionType(lanes.scalar, [lanes.scalar, lanes.vector])
        for k, total in enumerate(self.totals):
            reduce = self.module.globals.get(name) or ir.Function(self.module, kind, name)
            one = build.call(reduce, [lanes.scalar(0.0), build.load(total, typ=lanes.vector)])
            one = one if one.type == _DOUBLE else build.fpext(one, _DOUBLE)
            place = build.add(build.mul(_INDEX(k), self.at["period"]), channel)
            address = self._address("sums", place, _DOUBLE)
            build.store(build.fadd(build.load(address, typ=_DOUBLE), one), address)

    def _column(self, k: int, place: ir.Value, name: str = "coefficients", kind: ir.Type | None = None) -> ir.Value:
        return self._address(name, self.build.add(self.build.mul(_INDEX(k), self.at["length"]), place), kind)

    def _address(self, name: str, place: ir.Value, kind: ir.Type | None = None) -> ir.Value:
        return self.build.gep(self.at[name], [place], source_etype=kind or self.lanes.scalar)

    def _splat(self, scalar: ir.Value) -> ir.Value:
        vector = ir.VectorType(scalar.type, self.lanes.width)
        first = self.build.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
        order = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes.width), [0] * self.lanes.width)
        return self.build.shuffle_vector(first, first, order)

    def _load(self, address: ir.Value, kind: ir.VectorType, mask: ir.Value | None) -> ir.Value:
        if mask is None:
            return self.build.load(address, typ=kind, align=_bytes(kind))
        arguments = [address, ir.IntType(32)(_bytes(kind)), mask, ir.Constant(kind, [0.0] * kind.count)]
        return self.build.call(self._masked("load", kind, kind, arguments), arguments)

    def _store(self, value: ir.Value, address: ir.Value, mask: ir.Value | None) -> None:
        if mask is None:
            self.build.store(value, address, align=_bytes(value.type))
            return
        arguments = [value, address, ir.IntType(32)(_bytes(value.type)), mask]
        self.build.call(self._masked("store", value.type, ir.VoidType(), arguments), arguments)

    def _masked(self, name: str, kind: ir.VectorType, result: ir.Type, arguments: Sequence[ir.Value]) -> ir.Function:
        full = f"llvm.masked.{name}.v{kind.count}f{8 * _bytes(kind)}.p0"
        types = ir.FunctionType(result, [a.type for a in arguments])
        return self.module.globals.get(full) or ir.Function(self.module, types, full)


def _bytes(kind: ir.VectorType) -> int:
    """Size and alignment of one element in memory."""
    return 4 if kind.element == ir.FloatType() else 8
