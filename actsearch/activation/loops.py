"""The loop around a program, as LLVM instructions: one pass over memory, with nothing in between stored.

Forward reads x and writes f(x); backward reads x and the gradient and writes the gradients by x and by β. What depends
on β alone is computed once a channel, before the loop.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from llvmlite import ir

from actsearch.activation.program import Program
from actsearch.activation.vectors import Emitter, Lanes
from actsearch.expression import X, beta_symbol

Layout = Literal["rows", "columns"]
"""Where a channel's elements are: in whole rows of memory, or at the same places of every row."""

BLOCK = 64
"""Rows (layout columns) over which a sum is kept in x's own type before it is added to one in float64."""

PIECE = 4096
"""Elements of a row (layout rows) over which it is."""

_MOST_LANES = 16
"""Numbers of the widest register: what a row's last one may reach beyond its end in working memory."""

_POINTER, _INDEX, _DOUBLE = ir.PointerType(), ir.IntType(64), ir.DoubleType()


def scratch_bytes(program: Program, layout: Layout, *, channels: int, length: int, itemsize: int) -> int:
    """Bytes of working memory that a loop needs beside its arguments."""
    coefficients, betas = len(program.coefficients), len(program.betas)
    numbers = coefficients * channels
    if layout == "columns":
        numbers += coefficients * length + _MOST_LANES + betas * length + _MOST_LANES
    return itemsize * numbers


class Loop:
    """The function `run(x, y, betas, scratch, gain, rows, channels, inner, length)`: y = gain · f(x).

    With gradient `run(x, g, y, betas, sums, scratch, gain, …)`: y = g · gain · ∂f/∂x, and the sums of g · gain · ∂f/∂β
    over each channel are added to `sums`. All but the last five are addresses:

    x, g and y are ``(rows, length)``, dense, betas ``(β, channels)``, all of one type, float32 or float64; sums is
    ``(β, channels)`` in float64.
    scratch: working memory, `scratch_bytes` of it, of any content.
    gain: a number of x's type.
    rows, length: of memory.
    channels: β's; 1 where there is no β.
    inner: elements of a channel that lie side by side (layout columns).
    """

    def __init__(self, program: Program, lanes: Lanes, layout: Layout, *, gradient: bool) -> None:
        self.program, self.lanes, self.layout, self.gradient = program, lanes, layout, gradient
        self.module = ir.Module()
        names = ["x", "g", "y", "betas", "sums", "scratch"] if gradient else ["x", "y", "betas", "scratch"]
        kinds = [_POINTER] * len(names) + [lanes.scalar] + [_INDEX] * 4
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), kinds), "run")
        for argument in function.args[: len(names)]:
            argument.add_attribute("noalias")
        numbers = ["gain", "rows", "channels", "inner", "length"]
        self.at = dict(zip([*names, *numbers], function.args, strict=True))
        self.build = ir.IRBuilder(function.append_basic_block())
        self.summed = len(program.betas) if gradient else 0
        self._function()

    def _function(self) -> None:
        self.gain = self._splat(self.at["gain"])
        if self.program.betas:
            self._coefficients()
        if self.layout == "columns":
            self._columns()
        elif self.program.betas:
            self._rows()
        else:
            with self._over_a_row(_INDEX(0), self.at["length"]):
                self._pass([])
        self.build.ret_void()

    # --- β and what depends on it alone ------------------------------------------------------------------------------

    def _coefficients(self) -> None:
        """Coefficients ``(k, channels)``: β itself where they are nothing else; in columns again as places of a row."""
        build, scalar, count = self.build, self.lanes.scalar, len(self.program.coefficients)
        self.at["coefficients"] = self.at["betas"]
        place = self.at["scratch"]
        if self.program.coefficients != tuple(map(beta_symbol, self.program.betas)):
            self.at["coefficients"] = place
            place = build.gep(place, [build.mul(_INDEX(count), self.at["channels"])], source_etype=scalar)
            self._compute_coefficients()
        if self.layout == "columns":
            self.at["spread"] = place
            beyond = build.add(build.mul(_INDEX(count), self.at["length"]), _INDEX(_MOST_LANES))
            self.at["partial"] = build.gep(place, [beyond], source_etype=scalar)
            with self._places() as (place, channel):
                for k in range(count):
                    value = build.load(self._address("coefficients", self._at_channel(k, channel)), typ=scalar)
                    build.store(value, self._address("spread", self._at_place(k, place)))

    def _compute_coefficients(self) -> None:
        build, channels = self.build, self.at["channels"]
        with self._loop(_INDEX(0), channels, self.lanes.width) as first:
            _, _, mask = self._parts(build.sub(channels, first), whole=False)
            emitter = Emitter(build, self.lanes)
            for k, name in enumerate(self.program.betas):
                address = self._address("betas", self._at_channel(k, first))
                emitter.known[beta_symbol(name)] = self._load(address, self.lanes.vector, mask)
            for k, coefficient in enumerate(self.program.coefficients):
                address = self._address("coefficients", self._at_channel(k, first))
                self._store(emitter.value(coefficient), address, mask)

    @contextmanager
    def _places(self) -> Iterator[tuple[ir.Value, ir.Value]]:
        """Every place of a row (layout columns) and its channel, one after another."""
        build = self.build
        channel_slot, inner_slot = self._slot(_INDEX(0)), self._slot(_INDEX(0))
        with self._loop(_INDEX(0), self.at["length"]) as place:
            channel = build.load(channel_slot, typ=_INDEX)
            yield place, channel
            inner, is_last = self._wrapped(build.load(inner_slot, typ=_INDEX), self.at["inner"])
            following, _ = self._wrapped(channel, self.at["channels"])
            build.store(inner, inner_slot)
            build.store(build.select(is_last, following, channel), channel_slot)

    def _wrapped(self, index: ir.Value, stop: ir.Value) -> tuple[ir.Value, ir.Value]:
        """The index after this one, 0 after the last; whether this one is the last."""
        following = self.build.add(index, _INDEX(1))
        is_last = self.build.icmp_signed("==", following, stop)
        return self.build.select(is_last, _INDEX(0), following), is_last

    # --- the passes over memory --------------------------------------------------------------------------------------

    def _rows(self) -> None:
        """Each channel's rows one after another, its coefficients and sums in registers."""
        build, lanes = self.build, self.lanes
        registers = [self._slot(lanes.number(0.0)) for _ in range(self.summed)]
        channels, length = self.at["channels"], self.at["length"]
        counter = self._slot(_INDEX(0))
        at_least_one = build.select(build.icmp_signed(">", channels, _INDEX(0)), channels, _INDEX(1))
        with (
            self._loop(_INDEX(0), build.udiv(self.at["rows"], at_least_one)),
            self._loop(_INDEX(0), channels) as channel,
        ):
            coefficients = [
                self._splat(build.load(self._address("coefficients", self._at_channel(k, channel)), typ=lanes.scalar))
                for k in range(len(self.program.coefficients))
            ]
            start = build.load(counter, typ=_INDEX)
            with self._loop(_INDEX(0), length, PIECE) as piece:
                for register in registers:
                    build.store(lanes.number(0.0), register)
                with self._over_a_row(build.add(start, piece), self._at_most(PIECE, build.sub(length, piece))):
                    for register, slope in zip(registers, self._pass(coefficients), strict=True):
                        build.store(build.fadd(build.load(register, typ=lanes.vector), slope), register)
                for k, register in enumerate(registers):
                    total = self._reduced(build.load(register, typ=lanes.vector))
                    self._add(self._at_channel(k, channel), self._widened(total))
            build.store(build.add(start, length), counter)

    def _columns(self) -> None:
        """Rows that hold every channel; each place has its coefficients and its sum in memory that stays in cache."""
        build, vector, rows = self.build, self.lanes.vector, self.at["rows"]
        with self._loop(_INDEX(0), rows, BLOCK) as first:
            self._clear_partial_sums()
            last = build.add(first, self._at_most(BLOCK, build.sub(rows, first)))
            length = self.at["length"]
            with self._loop(first, last) as row, self._over_a_row(build.mul(row, length), length) as place:
                places = [self._at_place(k, place) for k in range(len(self.program.coefficients))]
                slopes = self._pass([self._load(self._address("spread", here), vector) for here in places])
                for k, slope in enumerate(slopes):
                    address = self._address("partial", self._at_place(k, place))
                    self._store(build.fadd(self._load(address, vector), slope), address)
            if self.summed:
                with self._places() as (place, channel):
                    for k in range(self.summed):
                        address = self._address("partial", self._at_place(k, place))
                        partial = build.load(address, typ=self.lanes.scalar)
                        self._add(self._at_channel(k, channel), self._widened(partial))

    @contextmanager
    def _over_a_row(self, start: ir.Value, length: ir.Value) -> Iterator[ir.Value]:
        """The places of a row, a register apart: whole registers where they are, then what is left in a buffer.

        So the code in the loop stands there once, and what it loads and stores is never masked.
        """
        build, vector = self.build, self.lanes.vector
        whole, left, mask = self._parts(length)
        names = ["x", "g", "y"] if self.gradient else ["x", "y"]
        buffers = {name: self._slot(ir.Constant(vector, [0.0] * vector.count)) for name in names}
        ones = ir.Constant(mask.type, [1] * vector.count)
        parts = build.select(build.icmp_unsigned(">", left, _INDEX(0)), _INDEX(2), _INDEX(1))
        with self._loop(_INDEX(0), parts) as part:
            is_rest = build.icmp_unsigned(">", part, _INDEX(0))
            memory = {name: self._address(name, start) for name in names}
            rest = {name: build.gep(memory[name], [whole], source_etype=self.lanes.scalar) for name in names}
            with build.if_then(is_rest):
                for name in names[:-1]:
                    build.store(self._load(rest[name], vector, mask), buffers[name])
            for name in names:
                before = build.gep(buffers[name], [build.neg(whole)], source_etype=self.lanes.scalar)
                self.at[f"row {name}"] = build.select(is_rest, before, memory[name])
            self.counted = build.select(is_rest, mask, ones)
            first = build.select(is_rest, whole, _INDEX(0))
            with self._loop(first, build.select(is_rest, length, whole), self.lanes.width) as place:
                self.place = place
                yield place
            with build.if_then(is_rest):
                self._store(build.load(buffers["y"], typ=vector), rest["y"], mask)

    def _pass(self, coefficients: Sequence[ir.Value]) -> list[ir.Value]:
        """One register of x, from memory to memory; what it adds to the sum of each β."""
        build, vector = self.build, self.lanes.vector
        emitter = Emitter(build, self.lanes)
        emitter.known[X] = self._load(self._address("row x", self.place), vector)
        emitter.known |= dict(zip(self.program.symbols, coefficients, strict=True))
        scale = self.gain
        if self.gradient:
            scale = build.fmul(self._load(self._address("row g", self.place), vector), self.gain)
        result, *slopes = [build.fmul(scale, emitter.value(output)) for output in self.program.outputs]
        self._store(result, self._address("row y", self.place))
        # what a formula makes of the zeros beyond the end may be infinite
        return [build.select(self.counted, slope, self.lanes.number(0.0)) for slope in slopes]

    # --- pieces ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _loop(self, start: ir.Value, stop: ir.Value, step: int = 1) -> Iterator[ir.Value]:
        """for i in range(start, stop, step)."""
        build = self.build
        counter = self._slot(start)
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

    def _slot(self, value: ir.Value) -> ir.Value:
        """A variable with that value from here on; LLVM puts it into a register."""
        with self.build.goto_entry_block():
            slot = self.build.alloca(value.type)
        self.build.store(value, slot)
        return slot

    def _at_most(self, limit: int, value: ir.Value) -> ir.Value:
        return self.build.select(self.build.icmp_signed("<", value, _INDEX(limit)), value, _INDEX(limit))

    def _parts(self, length: ir.Value, *, whole: bool = True) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Elements in whole registers, what is left, and the mask of that; with `whole=False` all is left."""
        build, lanes = self.build, self.lanes
        full = build.and_(length, _INDEX(-lanes.width)) if whole else _INDEX(0)
        left = build.sub(length, full)
        places = ir.Constant(ir.VectorType(_INDEX, lanes.width), list(range(lanes.width)))
        return full, left, build.icmp_signed("<", places, self._splat(left))

    def _clear_partial_sums(self) -> None:
        if self.summed:
            with self._loop(_INDEX(0), self.build.mul(_INDEX(self.summed), self.at["length"])) as k:
                self.build.store(self.lanes.scalar(0.0), self._address("partial", k))

    def _add(self, place: ir.Value, value: ir.Value) -> None:
        """Adds to one of the sums."""
        address = self._address("sums", place, _DOUBLE)
        self.build.store(self.build.fadd(self.build.load(address, typ=_DOUBLE), value), address)

    def _reduced(self, register: ir.Value) -> ir.Value:
        """The sum of a register's numbers, first to last."""
        lanes, name = self.lanes, f"llvm.vector.reduce.fadd.{self.lanes.suffix}"
        kind = ir.FunctionType(lanes.scalar, [lanes.scalar, lanes.vector])
        function = self.module.globals.get(name) or ir.Function(self.module, kind, name)
        return self.build.call(function, [lanes.scalar(0.0), register])

    def _widened(self, number: ir.Value) -> ir.Value:
        return number if number.type == _DOUBLE else self.build.fpext(number, _DOUBLE)

    def _at_channel(self, k: int, channel: ir.Value) -> ir.Value:
        return self.build.add(self.build.mul(_INDEX(k), self.at["channels"]), channel)

    def _at_place(self, k: int, place: ir.Value) -> ir.Value:
        return self.build.add(self.build.mul(_INDEX(k), self.at["length"]), place)

    def _address(self, name: str, place: ir.Value, kind: ir.Type | None = None) -> ir.Value:
        return self.build.gep(self.at[name], [place], source_etype=kind or self.lanes.scalar)

    def _splat(self, scalar: ir.Value) -> ir.Value:
        vector = ir.VectorType(scalar.type, self.lanes.width)
        first = self.build.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
        order = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes.width), [0] * self.lanes.width)
        return self.build.shuffle_vector(first, first, order)

    def _load(self, address: ir.Value, kind: ir.VectorType, mask: ir.Value | None = None) -> ir.Value:
        if mask is None:
            return self.build.load(address, typ=kind, align=_bytes(kind))
        arguments = [address, ir.IntType(32)(_bytes(kind)), mask, ir.Constant(kind, [0.0] * kind.count)]
        return self.build.call(self._masked("load", kind, kind, arguments), arguments)

    def _store(self, value: ir.Value, address: ir.Value, mask: ir.Value | None = None) -> None:
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
