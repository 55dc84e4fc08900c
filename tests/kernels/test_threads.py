"""Limits and settings that hold while a model computes."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from miniDLF.kernels import threads
from miniDLF.kernels.blas import blas_libraries, thread_functions
from miniDLF.kernels.threads import quiet_arithmetic, single_threaded_blas


@pytest.mark.parametrize("known", [True, False], ids=["kept setting", "np.errstate"])
def test_quiet_arithmetic(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not known:
        monkeypatch.setattr(threads, "_quiet_setting", lambda: None)
    huge = np.full(3, 1e38, np.float32)
    before = np.geterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isinf(quiet_arithmetic(quiet_arithmetic(np.multiply))(huge, huge)).all()
        assert np.isnan(quiet_arithmetic(np.divide)(np.zeros(1), 0.0)).all()
        assert np.geterr() == before
        with pytest.raises(RuntimeWarning), np.errstate(over="warn"):
            np.multiply(huge, huge)
    with pytest.raises(ZeroDivisionError):
        quiet_arithmetic(divmod)(1, 0)
    assert np.geterr() == before


def test_who_changes_the_warnings_within_changes_no_later_setting() -> None:
    huge = np.full(3, 1e38, np.float32)
    before = np.geterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet_arithmetic(np.seterr)(over="warn")
        assert np.geterr() == before
        assert np.isinf(quiet_arithmetic(np.multiply)(huge, huge)).all()


def test_the_kept_setting_is_found() -> None:
    assert threads._quiet_setting() is not None  # in NumPy 1 and 2


def test_blas_is_held_to_one_thread_and_given_back() -> None:
    libraries = blas_libraries()
    before = [library.get_num_threads() for library in libraries]
    for library in libraries:
        library.set_num_threads(2)
    try:
        seen = single_threaded_blas(single_threaded_blas(lambda: [library.get_num_threads() for library in libraries]))
        assert set(seen()) == {1}
        assert all(library.get_num_threads() == 2 for library in libraries)
    finally:
        for library, count in zip(libraries, before, strict=True):
            library.set_num_threads(count)


def test_each_of_several_libraries_gets_its_own_number_back(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [3, 1, 4]

    def library(at: int) -> Any:
        return SimpleNamespace(
            internal_api="mkl",
            get_num_threads=lambda: numbers[at],
            set_num_threads=lambda count: numbers.__setitem__(at, count),
        )

    monkeypatch.setattr(threads, "blas_libraries", lambda: [library(at) for at in range(3)])
    assert threads._BlasLimit()(numbers.copy)() == [1, 1, 1]
    assert numbers == [3, 1, 4]


def test_an_interrupt_while_the_numbers_are_given_back_does_not_lose_them(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, raises = [4], [False, True]  # not when the limit is set, but when it is lifted

    def set_to(count: int) -> None:
        if raises and raises.pop(0):
            raise KeyboardInterrupt
        numbers[0] = count

    library = SimpleNamespace(internal_api="mkl", get_num_threads=lambda: numbers[0], set_num_threads=set_to)
    monkeypatch.setattr(threads, "blas_libraries", lambda: [library])
    with pytest.raises(KeyboardInterrupt):
        threads._BlasLimit()(numbers.copy)()
    assert numbers == [4]


@pytest.mark.parametrize("symbols", [None, {}, {"openblas_get_num_threads": len}])
def test_other_libraries_are_asked_through_threadpoolctl(symbols: Any) -> None:
    library = SimpleNamespace(internal_api="openblas", get_num_threads=lambda: 4, set_num_threads=lambda count: count)
    if symbols is not None:
        library._get_symbol = symbols.get
    get, set_to = thread_functions(library)
    assert (get(), set_to(3)) == (4, 3)
    library._get_symbol, library.internal_api = {"openblas_get_num_threads": len}.get, "mkl"
    assert thread_functions(library)[0] is library.get_num_threads
