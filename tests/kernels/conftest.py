"""Kernels choose by what the BLAS library does with small matrices; their tests run as on any kind of machine."""

from types import SimpleNamespace

import pytest

from miniDLF.kernels import blas
from miniDLF.kernels.blas import multiplies_in_place, packing_kernels


@pytest.fixture(scope="module", params=["SkylakeX", "Haswell", "Haswell's kernels"])
def either_blas(request):
    """Let BLAS be taken for one that multiplies small matrices in place, for one that packs them, and for one that lets
    miniDLF pack them. That one's kernels run wherever there is AVX2, with AVX-512 too.
    """
    kind, _, kernels = request.param.partition("'s ")
    handles = [(library.dynlib, library.version) for library in blas.blas_libraries() if kernels]
    multiplies_in_place.cache_clear()
    packing_kernels.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        libraries = [
            SimpleNamespace(internal_api="openblas", architecture=kind, dynlib=handle, version=version)
            for handle, version in handles or [(None, None)]
        ]
        patch.setattr(blas, "blas_libraries", lambda: libraries)
        assert multiplies_in_place() == (kind == "SkylakeX")  # the answers are kept
        if packing_kernels() is None and kernels:
            pytest.skip("the kernels of this machine's BLAS are not those of a release of OpenBLAS that was tried")
    yield multiplies_in_place()
    multiplies_in_place.cache_clear()
    packing_kernels.cache_clear()
