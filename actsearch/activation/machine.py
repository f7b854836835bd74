"""A program's loop (actsearch.activation.loops) as machine code.

For x86 with AVX2, Linux with glibc 2.35 or newer, and llvmlite; `unavailable` says what is missing.
"""

import ctypes
import platform
from collections.abc import Callable
from functools import cache, lru_cache

import llvmlite.binding as llvm
import numpy as np

from actsearch.activation.loops import Layout, Loop
from actsearch.activation.program import Program
from actsearch.activation.vectors import Lanes


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
    """The compiled loop; the function takes the arguments of `Loop`, addresses as integers."""
    parsed = llvm.parse_assembly(str(Loop(program, lanes, layout, gradient=gradient).module))
    target = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2, jit=True
    )
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()  # loop counters and sums into registers
    passes.run(parsed, llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options()))
    engine = llvm.create_mcjit_compiler(parsed, target)
    engine.finalize_object()
    gain = ctypes.c_float if lanes.dtype is np.float32 else ctypes.c_double
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (6 if gradient else 4), gain, *[ctypes.c_int64] * 4)
    run = signature(engine.get_function_address("run"))
    run.__dict__["engine"] = engine  # the code lives as long as its engine
    return run
