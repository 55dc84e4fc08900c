"""How C's allocator treats freed memory in the processes that are timed."""

from __future__ import annotations

import ctypes
import platform

__all__ = ["keep_freed_memory"]

#: Parameters of glibc's mallopt(3), and the sizes that they get here: the largest that any glibc takes (before 2.35
#: blocks above 32 MiB cannot be kept), and the largest C int.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
BLOCKS = (1 << 30, 32 << 20)
NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Let the process keep what it frees, where the allocator is glibc's.

    Frameworks that allocate their activations anew in each step depend on it. With glibc's defaults chance decides, by
    where the last block lies, whether memory goes back to the system after a step and has to be mapped and cleared
    again: torch.compile took 22 to 25 ms a step of the specified CNN in some processes and 40 to 45 in others; like
    this it takes 16 to 25 in all. Eager PyTorch: 36.9 -> 23.8 ms, the autoencoder 44.6 -> 26.4, the LSTM of 512 units
    598 -> 498. (PyTorch's own advice is another allocator that keeps memory, jemalloc or TCMalloc.) miniDLF has its
    arrays from the first step on, so it takes the same either way.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    if any(mallopt(M_MMAP_THRESHOLD, size) for size in BLOCKS):  # the first that it takes
        mallopt(M_TRIM_THRESHOLD, NEVER)
