"""Kernels choose by what the BLAS library does with small matrices; their tests run as on any kind of machine."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from miniDLF.kernels import blas
from miniDLF.kernels.blas import multiplies_in_place, packing_kernels


@contextmanager
def dressed_up(kind, kernels):
    """Let BLAS be taken for an OpenBLAS for this kind of processor, with the machine's own kernels or with none."""
    handles = [(library.dynlib, library.version) for library in blas.blas_libraries() if kernels]
    libraries = [
        SimpleNamespace(internal_api="openblas", architecture=kind, dynlib=handle, version=version)
        for handle, version in handles or [(None, None)]
    ]
    answers = (multiplies_in_place, packing_kernels)
    for answer in answers:
        answer.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blas, "blas_libraries", lambda: libraries)
        for answer in answers:
            answer()  # it is kept
    try:
        if kernels and packing_kernels() is None:
            pytest.skip("the kernels of this machine's BLAS are not those of a release of OpenBLAS that was tried")
        yield
    finally:
        for answer in answers:
            answer.cache_clear()


@pytest.fixture(scope="module", params=["SkylakeX", "Haswell", "Haswell's kernels"])
def either_blas(request):
    """Let BLAS be taken for one that multiplies small matrices in place, for one that packs them, and for one that lets
    miniDLF pack them. That one's kernels run wherever there is AVX2, with AVX-512 too.
    """
    kind, _, kernels = request.param.partition("'s ")
    with dressed_up(kind, kernels):
        assert multiplies_in_place() == (kind == "SkylakeX")
        yield multiplies_in_place()


@pytest.fixture(scope="module")
def kernels():
    """OpenBLAS' kernels for AVX2."""
    with dressed_up("Haswell", True):
        return packing_kernels()
