"""The loops of `pointwise` and `pointwise_grid` as machine code for this processor, by numba, for which alone it is
needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import isfunction
from typing import Any

import numba
import numpy as np
from llvmlite import binding as llvm

from . import pointwise, pointwise_grid, pointwise_planes, pointwise_rows
from .pointwise import LENGTH, Argument

MODULES = (pointwise, pointwise_grid)
OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy"}
_kept: list[Any] = []
CHECKED = 2000
"""Pairs of arrays that LLVM may compare at run time for overlap; with its own 8 the loops here are not vectorised."""


def machine_code_of(loops: Mapping[str, tuple[Argument, ...]]) -> dict[str, bytes]:
    """Each loop as an object file of one function, which takes an array as its address and lengths.

    loops: functions of MODULES and what they take.
    """
    for limit in ("runtime-memory-check-threshold", "vectorize-memory-check-threshold"):
        llvm.set_option("", f"-{limit}={CHECKED}")
    compiled: dict[Any, Any] = {}
    for module in (pointwise_rows, pointwise_planes, *MODULES):  # a function is compiled into those that call it
        for name, each in list(vars(module).items()):
            if isfunction(each):
                setattr(module, name, compiled.setdefault(each, numba.njit(**OPTIONS)(each)))
    return {name: _object(name, arguments) for name, arguments in loops.items()}


def _object(name: str, arguments: tuple[Argument, ...]) -> bytes:
    taken, given, kinds = [], [], []
    for number, each in enumerate(arguments):
        element, dimensions = each if isinstance(each, tuple) else (each, 0)
        lengths = [f"n{number}_{axis}" for axis in range(dimensions)]
        taken += [f"a{number}", *lengths]
        given.append(f"carray(a{number}, ({', '.join(lengths)},))" if dimensions else f"a{number}")
        kind = numba.from_dtype(np.dtype(element))
        kinds += [
            numba.types.CPointer(kind) if dimensions else kind,
            *[numba.from_dtype(np.dtype(LENGTH))] * dimensions,
        ]
    (loop,) = (vars(module)[name] for module in MODULES if name in vars(module))
    names = {"loop": loop, "carray": numba.carray}
    exec(f"def {name}({', '.join(taken)}): loop({', '.join(given)})", names)
    compiled = numba.cfunc(numba.types.void(*kinds), **OPTIONS)(names[name])
    module = llvm.parse_assembly(compiled.inspect_llvm())
    for each in (*module.functions, *module.global_variables):
        if not each.is_declaration and each.name != compiled.native_name:
            each.linkage = "internal"
    entry = module.get_function(compiled.native_name)
    entry.name = name
    machine = _machine()
    # that no loop raises becomes known, and with what would tell Python of it goes all that needs numba
    passes = llvm.create_new_module_pass_manager()
    passes.add_ipsccp_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    return bytes(machine.emit_object(module))


def load(code: bytes, name: str) -> int:
    """The address of a function, for as long as this process lives, by LLVM: where `machine_code` cannot."""
    compiler = llvm.create_lljit_compiler(_machine())
    library = llvm.JITLibraryBuilder().add_object_img(code).add_current_process().export_symbol(name)
    _kept.append(library.link(compiler, name))
    return int(_kept[-1][name])


def _machine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(), opt=3, reloc="pic", codemodel="default"
    )
