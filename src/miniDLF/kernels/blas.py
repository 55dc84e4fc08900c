"""The BLAS library that NumPy has loaded: what kind it is, and functions of it that NumPy does not call."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["RUN", "PackingKernels", "blas_libraries", "multiplies_in_place", "packing_kernels", "thread_functions"]

#: Elements of a vector that is summed up at a time: OpenBLAS adds up to 10 000 products on one thread, and above, the
#: last bit of the sum would depend on its threads.
RUN = 8192
#: How OpenBLAS calls its kernels with a path for small matrices.
AVX512_KERNELS = ("skylakex", "cooperlake", "sapphirerapids")
#: The names under which OpenBLAS knows the processors whose kernels are used one by one: all with AVX2.
AVX2_KERNELS = ("haswell", "zen")
#: The releases of OpenBLAS whose kernels were tried: those in NumPy 1.24 to 2.5. In a process that finds another one
#: products are left to NumPy.
TRIED_RELEASES = ((0, 3, 21), (0, 3, 34))


@functools.cache
def blas_libraries() -> list[Any]:
    """Return threadpoolctl's controllers of the BLAS libraries that this process has loaded."""
    from threadpoolctl import ThreadpoolController  # 10 ms that `import miniDLF` need not spend

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


@functools.cache
def multiplies_in_place() -> bool:
    """Say whether BLAS multiplies small matrices where they lie, without packing them into an order of its own first.

    OpenBLAS does so with AVX-512. Its kernels for other processors pack always, as is assumed of other libraries.
    """
    return any(
        library.internal_api == "openblas" and str(library.architecture).lower() in AVX512_KERNELS
        for library in blas_libraries()
    )


def thread_functions(library: Any) -> tuple[Callable[[], int], Callable[[int], Any]]:
    """Return what reads and what sets a library's number of threads.

    Those of OpenBLAS itself where they can be had: 0.3 us a call, those of threadpoolctl, which look for them every
    time, 1.0 and 1.6.
    """
    symbol = getattr(library, "_get_symbol", None)
    if symbol is not None and library.internal_api == "openblas":
        functions = symbol("openblas_get_num_threads"), symbol("openblas_set_num_threads")
        if None not in functions:
            return functions
    # Since threadpoolctl 3.8 a thread's call does nothing while another one that has set a limit lives.
    # Here the first to enter and the last to leave decide, on whatever threads they are.
    return library.get_num_threads, getattr(library, "_real_set_num_threads", library.set_num_threads)


class PackingKernels(NamedTuple):
    """The parts of which OpenBLAS makes a product of float32 matrices.

    BLAS counts by columns, so NumPy's ``out (N, M) = a (N, K) @ b (K, M)`` is its ``C = B^T A^T``, and what is the
    right factor here is the left one there. Rows of `a`, `b` and `out` are contiguous and lie a `distance` apart.

    ``pack_right(K, M, b, distance, packed)`` and, for a matrix that lies transposed, (M, K),
    ``pack_right_transposed(K, M, b, distance, packed)`` write the K * M numbers in the order that `multiply` reads;
    ``pack_left(K, N, a, distance, packed)`` the N * K numbers of the left factor.
    ``multiply(M, N, K, factor, packed b, packed a, out, distance)`` *adds* the factor times the product to `out`.
    All sizes are int64, the factor is a float, the rest are pointers.

    Source: OpenBLAS, driver/level3/level3.c, which calls them itcopy, incopy, oncopy and kernel. The kernel is that of
    kernel/x86_64/sgemm_kernel_8x4_haswell_2.c: it reads nothing but its arguments and takes sizes of any kind. (The
    one for float64 does not: it has a buffer of its own, for K up to 256.)
    """

    pack_left: Callable[..., None]
    pack_right: Callable[..., None]
    pack_right_transposed: Callable[..., None]
    multiply: Callable[..., None]


@functools.cache
def packing_kernels() -> PackingKernels | None:
    """Return OpenBLAS' kernels for processors with AVX2; ``None`` where there are none, or none that are known.

    With AVX-512 a small product does without packing, so there is nothing to gain (see `multiplies_in_place`).
    """
    for library in blas_libraries():
        handle = getattr(library, "dynlib", None)
        kind = str(getattr(library, "architecture", None)).lower()
        if handle is None or library.internal_api != "openblas" or kind not in AVX2_KERNELS or sys.maxsize < 2**32:
            continue
        if not TRIED_RELEASES[0] <= _release(library.version) <= TRIED_RELEASES[1]:
            continue
        try:
            parts = [handle[f"sgemm_{part}_HASWELL"] for part in ("oncopy", "itcopy", "incopy", "kernel")]
        except AttributeError:  # they are not for the public: a library may hide them
            continue
        # The rows of a step are packed in 2 us, for which it does not pay to give up the interpreter's lock.
        parts[0] = ctypes.PyDLL(None, handle=handle._handle)["sgemm_oncopy_HASWELL"]
        for part in parts:
            part.restype = None
        return PackingKernels(*parts)
    return None


def _release(version: Any) -> tuple[int, ...]:
    """Return the first three numbers of a version: (0, 3, 23) of "0.3.23.dev"."""
    numbers = str(version).split(".")[:3]
    return tuple(map(int, numbers)) if all(number.isdecimal() for number in numbers) else ()
