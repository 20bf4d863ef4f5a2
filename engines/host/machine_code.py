"""Loads object files with one function each into memory; without LLVM, whose library takes 40 MiB."""

from __future__ import annotations

import ctypes
import mmap
import struct
from typing import NamedTuple

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
IDENTITY, OBJECT, X86_64 = b"\x7fELF\x02\x01", 1, 62
SYMBOLS, RELOCATIONS, EMPTY = 2, 4, 8
"""ELF section types: SHT_SYMTAB, SHT_RELA, SHT_NOBITS."""
ALLOCATED = 2
"""Section flag SHF_ALLOC: the section is loaded into memory."""
RELATIVE = 2, 4
"""R_X86_64_PC32, R_X86_64_PLT32: the relocations of position-independent code that calls nothing but LIBRARY."""
LIBRARY = ("memset", "memcpy", "memmove")
"""Functions of the C library that the code may call."""
JUMP = struct.Struct("<6sQ2x")
"""An indirect jump and its 64-bit target: calls in the code reach only 2 GiB."""
_in_memory: list[mmap.mmap] = []
"""Loaded code, which must stay mapped until the process exits."""


class _Section(NamedTuple):
    """ELF section header, Elf64_Shdr."""

    name: int
    kind: int
    flags: int
    address: int
    start: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


def load(content: bytes, name: str) -> int:
    """Load an ELF object file with position-independent code for x86-64 Linux.

    Args:
        content: Of the file.
        name: Of its function.

    Returns:
        The function's address, valid until the process exits.

    Raises:
        ValueError: The file is of another kind, or needs more than LIBRARY.
        OSError: The system forbids executable memory.
    """
    identity, kind, machine, *_, table, _, _, _, _, _, count, _ = HEADER.unpack_from(content)
    if not identity.startswith(IDENTITY) or (kind, machine) != (OBJECT, X86_64):
        raise ValueError(f"{name}: not an object file for x86-64")
    sections = [_Section(*struct.unpack_from("<IIQQQQIIQQ", content, table + 64 * n)) for n in range(count)]
    offsets, end = {}, 0
    for number, section in enumerate(sections):
        if section.flags & ALLOCATED:
            offsets[number] = end + -end % max(section.alignment, 1)
            end = offsets[number] + section.size
    jump_offsets = {function: end + JUMP.size * n for n, function in enumerate(LIBRARY)}
    memory = mmap.mmap(-1, end + JUMP.size * len(LIBRARY))
    for number, position in offsets.items():
        start, size = sections[number].start, sections[number].size
        if sections[number].kind != EMPTY:
            memory[position : position + size] = content[start : start + size]
    libc = ctypes.CDLL(None, use_errno=True)
    for function, position in jump_offsets.items():
        target = ctypes.cast(getattr(libc, function), ctypes.c_void_p).value
        JUMP.pack_into(memory, position, b"\xff\x25\0\0\0\0", target)

    functions = {}
    (symbols,) = (section for section in sections if section.kind == SYMBOLS)
    symbol_offsets: list[int | None] = []
    for at in range(symbols.start, symbols.start + symbols.size, 24):
        text, _, _, section_index, value, _ = struct.unpack_from("<IBBHQQ", content, at)
        text += sections[symbols.link].start
        symbol = content[text : content.index(b"\0", text)].decode()
        symbol_offsets.append(offsets[section_index] + value if section_index in offsets else jump_offsets.get(symbol))
        functions[symbol] = symbol_offsets[-1]
    for section in sections:
        if section.kind == RELOCATIONS and section.info in offsets:
            for at in range(section.start, section.start + section.size, 24):
                offset, kind, of, addend = struct.unpack_from("<QIIq", content, at)
                target, offset = symbol_offsets[of], offset + offsets[section.info]
                if target is None or kind not in RELATIVE:
                    raise ValueError(f"{name}: needs symbols or relocations that are not supported")
                struct.pack_into("<i", memory, offset, target + addend - offset)
    entry, start = functions.get(name), ctypes.addressof(ctypes.c_char.from_buffer(memory))
    if entry is None:
        raise ValueError(f"{name}: not in its file")
    if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(len(memory)), mmap.PROT_READ | mmap.PROT_EXEC):
        raise OSError(ctypes.get_errno(), f"{name}: the system forbids executable memory")
    _in_memory.append(memory)
    return start + entry
