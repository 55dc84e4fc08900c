"""`function`: compiles a function of tensors."""

from __future__ import annotations

import functools
import random
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, overload

import numpy as np

from miniDLF.engine.executors.threads import Executable
from miniDLF.engine.memory import Clock
from miniDLF.engine.passes import PASSES
from miniDLF.engine.program import Program, flatten, trace, unflatten
from miniDLF.engine.report import PlanReport, report_of
from miniDLF.engine.shards import Parts, cut
from miniDLF.errors import ArgumentTypeError
from miniDLF.kernels.threads import POOL
from miniDLF.kernels.workspace import Array
from miniDLF.tensor import recording
from miniDLF.tensor.tensor import Tensor, as_tensor

__all__ = ["CompiledFunction", "function"]

#: Plans that a function keeps; the one that was not used for the longest time makes room.
MOST_PLANS = 16
#: Floating-point operations below which a program runs on the caller's thread alone, and `MEETING` times as many again
#: for every meeting of its shards: two threads that make short calls wait for each other's interpreter lock, so they
#: need more than twice the work to be worth it. (A perceptron takes as long on one thread as on two at 90 million.)
SMALL = 100_000_000
MEETING = 0.5


class CompiledFunction:
    """A function of tensors that is recorded once for every combination of shapes, and then replayed.

    Made by `function`. Calling it with symbolic tensors, or while another program is recorded, makes it a part of that
    program.
    """

    __name__: str
    __qualname__: str

    def __init__(self, python: Callable[..., Any], shards: int | None, run_eagerly: bool) -> None:
        self.python, self.shards, self.run_eagerly = python, shards, run_eagerly
        self._plans: OrderedDict[Any, tuple[Executable, Any]] = OrderedDict()
        self._lock = threading.RLock()
        self._recorded = 0
        self._clock, self._seed = Clock(), -1
        functools.update_wrapper(self, python)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        bound = instance.__dict__.get(f"_compiled_{self.python.__name__}")
        if bound is None:
            bound = CompiledFunction(self.python.__get__(instance, owner), self.shards, self.run_eagerly)
            instance.__dict__[f"_compiled_{self.python.__name__}"] = bound
        return bound

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        leaves, structure = flatten([arguments, keywords])
        if self.run_eagerly or recording.current() is not None or any(_symbolic(leaf) for leaf in leaves):
            return self.python(*arguments, **keywords)
        with self._lock:
            executable, shape_of_result, arrays = self._plan_for(leaves, structure)
            results = executable.run(arrays)
        return unflatten(shape_of_result, [Tensor(result) for result in results])

    def plan_report(self, *arguments: Any, **keywords: Any) -> PlanReport:
        """Return a table of what a call with these arguments became; nothing is run."""
        leaves, structure = flatten([arguments, keywords])
        with self._lock:
            executable, _, _ = self._plan_for(leaves, structure)
            return report_of(executable)

    def _plan_for(self, leaves: list[Any], structure: Any) -> tuple[Executable, Any, list[Array]]:
        dynamic = [_array_of(leaf) for leaf in leaves]
        arrays = [array for array in dynamic if array is not None]
        key = (
            repr(structure),
            tuple(
                (a.shape, a.dtype) if a is not None else ("static", leaf)
                for a, leaf in zip(dynamic, leaves, strict=True)
            ),
            self.shards or POOL.threads,
        )
        found = self._plans.get(key)
        if found is None or found[0].is_stale:
            found = self._plans[key] = self._record(leaves, structure, dynamic)
            self._recorded += 1
            while len(self._plans) > MOST_PLANS:
                self._plans.popitem(last=False)
            if self._recorded == 4 * MOST_PLANS:
                warnings.warn(
                    f"{self.__qualname__} was recorded {self._recorded} times, for other shapes, whole numbers or "
                    "strings each time; recording takes longer than running. Pad arrays to few shapes, and pass "
                    "numbers that change as arrays: np.array(step).",
                    stacklevel=3,
                )
        self._plans.move_to_end(key)
        return (*found, arrays)

    def _record(self, leaves: list[Any], structure: Any, dynamic: list[Array | None]) -> tuple[Executable, Any]:
        def run(*tensors: Tensor) -> Any:
            rest = iter(tensors)
            values = [leaf if array is None else next(rest) for leaf, array in zip(leaves, dynamic, strict=True)]
            arguments, keywords = unflatten(structure, values)
            return self.python(*arguments, **keywords)

        given = [(array.shape, array.dtype) for array in dynamic if array is not None]
        if self._seed < 0:
            self._seed = random.getrandbits(63)  # by set_random_seed, as the seeds of models
        program, result = trace(run, given, self._seed)
        before = len(program.operations)
        for improve in PASSES:
            program = improve(program)
        executable = _planned(program, self.shards, self._clock)
        executable.recorded_operations = before
        return executable, result


def _planned(program: Program, shards: int | None, clock: Clock) -> Executable:
    """Choose the batch, and how many shards it is cut into; plan."""
    lengths = [tensor.shape[0] for tensor in program.inputs if tensor.ndim]
    samples = lengths[0] if lengths else 1
    flops = sum(one.primitive.flops(*(x.shape for x in one.inputs)) for one in program.operations)
    count = shards or (POOL.threads if flops >= SMALL else 1)
    parts, bounds = _cut(program, samples, max(min(count, samples), 1))
    if not shards and parts.meetings and flops < SMALL * (1 + MEETING * len(parts.meetings)):
        parts, bounds = _cut(program, samples, 1)
    return Executable(program, parts, bounds, clock)


def _cut(program: Program, samples: int, count: int) -> tuple[Parts, list[tuple[int, int]]]:
    """Cut a program into `count` shards, if its samples stay apart; return the samples of each as well."""
    bounds = [(samples * part // count, samples * (part + 1) // count) for part in range(count)]
    batch = [count > 1 and bool(tensor.ndim) and tensor.shape[0] == samples for tensor in program.inputs]
    parts = cut(program, batch, samples, sorted({stop - start for start, stop in bounds}))
    return parts, [(0, samples)] if parts.reason else bounds


def _symbolic(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_symbolic


def _array_of(leaf: Any) -> Array | None:
    """Return what a call may change without another plan as an array, and ``None`` for what is a part of the plan."""
    if isinstance(leaf, (bool, int, str, bytes)) or callable(leaf):
        return None
    if isinstance(leaf, (Tensor, np.ndarray, np.generic, float)):
        return as_tensor(leaf).numpy() if not isinstance(leaf, np.ndarray) or type(leaf) is not np.ndarray else leaf
    raise ArgumentTypeError(
        f"a compiled function takes arrays, tensors, numbers and strings, in tuples, lists or dicts; received "
        f"{type(leaf).__name__}. Let the function use other things from outside."
    )


@overload
def function(
    python: Callable[..., Any], *, shards: int | None = None, run_eagerly: bool = False
) -> CompiledFunction: ...
@overload
def function(
    python: None = None, *, shards: int | None = None, run_eagerly: bool = False
) -> Callable[[Callable[..., Any]], CompiledFunction]: ...
def function(python: Any = None, *, shards: int | None = None, run_eagerly: bool = False) -> Any:
    """Compile a function of tensors: it is recorded once for every combination of shapes, planned, and replayed.

    ::

        @function
        def step(x, y):
            loss = np.mean((x @ weight - y) ** 2)
            optimizer.apply_gradients(zip(gradient(loss, [weight]), [weight]))
            return loss

    Arrays, tensors and fractions may differ from call to call; whole numbers, booleans and strings are a part of what
    is recorded. Variables are read and set at every call. What the function does besides (prints, appends to lists)
    happens only while it is recorded. Batches are cut into shards for the threads, along the first axis of the first
    argument and of the others of that length; sums over it are those of the whole batch.

    Parameters
    ----------
    python : callable
        It takes and returns tensors, in tuples, lists and dicts.
    shards : int, optional
        How many shards batches are cut into: then results are the same to the last bit on any number of threads.
        Without it, as many as there are threads.
    run_eagerly : bool
        Run the function as it is, operation by operation, for debugging.
    """
    if python is None:
        return lambda one: CompiledFunction(one, shards, run_eagerly)
    if not callable(python):
        raise ArgumentTypeError(f"function: expected a function of tensors, received {type(python).__name__}.")
    return CompiledFunction(python, shards, run_eagerly)
