"""Counts the instructions that this thread runs outside the kernel: what other work on a machine disturbs least.

Linux on x86-64 only, and only where the system lets a process count (`kernel.perf_event_paranoid` up to 2).
"""

import ctypes
import os
import platform
import struct

_PERF_EVENT_OPEN = 298
_SIZE = 128
_EXCLUDE_KERNEL_AND_HYPERVISOR = 1 << 5 | 1 << 6


class Instructions:
    """`read` gives how many so far. Raises `OSError` where they cannot be counted."""

    def __init__(self) -> None:
        if platform.machine() != "x86_64" or platform.system() != "Linux":
            raise OSError("instructions are counted on Linux for x86-64 only")
        asked = bytearray(_SIZE)
        struct.pack_into("=IIQ", asked, 0, 0, _SIZE, 1)  # a hardware event, instructions
        struct.pack_into("=Q", asked, 40, _EXCLUDE_KERNEL_AND_HYPERVISOR)
        libc = ctypes.CDLL(None, use_errno=True)
        buffer = (ctypes.c_char * _SIZE).from_buffer(asked)
        self._file = libc.syscall(_PERF_EVENT_OPEN, ctypes.byref(buffer), 0, -1, -1, 0)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "instructions cannot be counted")

    def read(self) -> int:
        return int.from_bytes(os.read(self._file, 8), "little")
