"""Object files put into memory without LLVM: what they compute, and which are refused."""

from __future__ import annotations

import ctypes
import platform
import sys

import numpy as np
import pytest
from llvmlite import binding as llvm

from fusecam.engines.backends.kernels.loader import Kernel
from fusecam.engines.host.machine_code import load

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="for x86-64 Linux; LLVM does it elsewhere"
)

TEXT = """
@table = internal constant [4 x i64] [i64 10, i64 20, i64 30, i64 40]
declare void @memset(ptr, i32, i64)
define internal i64 @other(i64 %place) noinline {
  %at = getelementptr [4 x i64], ptr @table, i64 0, i64 %place
  %value = load i64, ptr %at
  ret i64 %value
}
define i64 @wanted(ptr %into, i64 %place) {
  call void @memset(ptr %into, i32 7, i64 5)
  %value = call i64 @other(i64 %place)
  ret i64 %value
}
"""


def compiled(text: str, triple: str = "") -> bytes:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(triple or llvm.get_default_triple())
    machine = target.create_target_machine(opt=0, reloc="pic", codemodel="default")
    return bytes(machine.emit_object(llvm.parse_assembly(text)))


def test_machine_code_reaches_constants_functions_and_libc() -> None:
    code = compiled(TEXT)
    for _ in range(3):  # each time in a place of its own
        wanted = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)(load(code, "wanted"))
        into = ctypes.create_string_buffer(8)
        assert [wanted(ctypes.addressof(into), place) for place in range(4)] == [10, 20, 30, 40]
        assert into.raw == b"\7" * 5 + b"\0" * 3


def test_foreign_machine_code_is_refused() -> None:
    with pytest.raises(ValueError, match="wanted: needs symbols or relocations that are not supported"):
        load(compiled(TEXT.replace("memset", "PyErr_SetNone")), "wanted")
    with pytest.raises(ValueError, match="unwanted: not in its file"):
        load(compiled(TEXT), "unwanted")
    for other in (compiled(TEXT, "aarch64-unknown-linux-gnu"), b"MZ" + bytes(98)):
        with pytest.raises(ValueError, match="wanted: not an object file for x86-64"):
            load(other, "wanted")


def test_loop_with_other_libc_calls_is_loaded_by_llvm() -> None:
    text = """
declare i64 @labs(i64)
define void @wanted(ptr %into, i64 %length, i64 %value) {
  %positive = call i64 @labs(i64 %value)
  store i64 %positive, ptr %into
  ret void
}
"""
    with pytest.raises(ValueError, match="needs symbols or relocations that are not supported"):
        load(compiled(text), "wanted")
    into = np.zeros(1, np.int64)
    Kernel(compiled(text), "wanted", ((np.int64, 1), np.int64)).of()(into, -5)
    assert into[0] == 5
