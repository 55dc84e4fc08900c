"""Kernels choose by what the BLAS library does with small matrices; their tests run as on either kind of machine."""

from types import SimpleNamespace

import pytest

from miniDLF.kernels import threads
from miniDLF.kernels.threads import multiplies_in_place


@pytest.fixture(scope="module", params=["SkylakeX", "Haswell"])
def either_blas(request):
    """Let BLAS be taken for one that multiplies small matrices in place, and for one that packs them."""
    multiplies_in_place.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        library = SimpleNamespace(internal_api="openblas", architecture=request.param)
        patch.setattr(threads, "_blas_libraries", lambda: [library])
        assert multiplies_in_place() == (request.param == "SkylakeX")  # the answer is kept
    yield multiplies_in_place()
    multiplies_in_place.cache_clear()
