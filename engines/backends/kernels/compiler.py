"""Compiles the kernels to machine code for this processor. Only this module imports numba."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import isfunction
from typing import Any

import numba
import numpy as np
from llvmlite import binding as llvm

from .loader import LENGTH, MODULES, Argument

OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy"}
CALLEE = OPTIONS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Python calls the kernels only: without wrappers their callees compile in four fifths of the time."""
_kept: list[Any] = []
CHECKED = 2000
"""Run-time overlap checks of array pairs that LLVM may insert; its default of 8 keeps these loops from vectorising."""


def machine_code_of(kernels: Mapping[str, tuple[Argument, ...]]) -> dict[str, bytes]:
    """Compile each kernel to an object file with one function, which takes an array as its address and its shape.

    kernels: names of functions in MODULES, with the types of their arguments.
    """
    for limit in ("runtime-memory-check-threshold", "vectorize-memory-check-threshold"):
        llvm.set_option("", f"-{limit}={CHECKED}")
    compiled: dict[Any, Any] = {}
    for module in MODULES:
        for name, value in list(vars(module).items()):
            if isfunction(value):
                setattr(module, name, compiled.setdefault(value, numba.njit(**CALLEE)(value)))
    return {name: _object(name, arguments) for name, arguments in kernels.items()}


def _object(name: str, arguments: tuple[Argument, ...]) -> bytes:
    parameters, passed, types = [], [], []
    for number, argument in enumerate(arguments):
        element, dimensions = argument if isinstance(argument, tuple) else (argument, 0)
        lengths = [f"n{number}_{axis}" for axis in range(dimensions)]
        parameters += [f"a{number}", *lengths]
        passed.append(f"carray(a{number}, ({', '.join(lengths)},))" if dimensions else f"a{number}")
        element_type = numba.from_dtype(np.dtype(element))
        types += [
            numba.types.CPointer(element_type) if dimensions else element_type,
            *[numba.from_dtype(np.dtype(LENGTH))] * dimensions,
        ]
    (loop,) = (vars(module)[name] for module in MODULES if name in vars(module))
    names = {"loop": loop, "carray": numba.carray}
    exec(f"def {name}({', '.join(parameters)}): loop({', '.join(passed)})", names)
    compiled = numba.cfunc(numba.types.void(*types), **OPTIONS)(names[name])
    module = llvm.parse_assembly(compiled.inspect_llvm())
    for symbol in (*module.functions, *module.global_variables):
        if not symbol.is_declaration and symbol.name != compiled.native_name:
            symbol.linkage = "internal"
    entry = module.get_function(compiled.native_name)
    entry.name = name
    machine = _machine()
    # constant propagation proves that no kernel raises; the error handling, which needs the numba runtime, is then dead
    passes = llvm.create_new_module_pass_manager()
    passes.add_ipsccp_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    return bytes(machine.emit_object(module))


def load(code: bytes, name: str) -> int:
    """Load an object file by LLVM, where `machine_code` cannot. Returns the function's address, valid until exit."""
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
