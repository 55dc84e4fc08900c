"""Runs a program on threads: whole shards, between meetings, in the order of the levels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from miniDLF.engine.batch_axis import WHOLE, Partial, Split, local_length
from miniDLF.engine.memory import Clock, ScratchSpace
from miniDLF.engine.plan import Plan
from miniDLF.engine.program import Program, leaves
from miniDLF.engine.shards import Import, Parts, join
from miniDLF.kernels.threads import POOL, quiet_arithmetic, single_threaded_blas
from miniDLF.kernels.workspace import Array, lasting
from miniDLF.tensor.gradients import history, place
from miniDLF.tensor.primitive import Operation
from miniDLF.tensor.tensor import Tensor

__all__ = ["Executable"]


class Executable:
    """A program, planned for inputs of certain shapes, and ready to run.

    Attributes
    ----------
    parts : Parts
        How it is cut into shards.
    common : Plan
        What is computed once for all shards.
    shards : list of Plan
        What every shard computes.

    Parameters
    ----------
    program
        After the passes.
    parts
        What `cut` made of it.
    bounds
        (start, stop) of the samples of every shard.
    clock
        What counts the runs, for the random numbers.
    """

    def __init__(
        self, program: Program, parts: Parts, bounds: Sequence[tuple[int, int]], clock: Clock | None = None
    ) -> None:
        self.clock = clock or Clock()
        self.program, self.parts = program, parts
        self.bounds = list(bounds)
        self.recorded_operations = len(program.operations)
        self._levels: dict[Any, int] = {}
        self._measure_levels()
        self._outputs: list[Array | None] = [None for _ in program.outputs]
        self._first_effect = program.n_results + len(program.assigned)
        self._places = self._places_of_effects(len(self.bounds) if self._has_shards else 1)
        self._plan_common()
        self._shard_inputs: list[list[Array | None]] = []
        self.shards: list[Plan] = []
        if self._has_shards:
            self._plan_shards()
        self._stages = self._make_stages()
        self._variables = [(variable, variable.data) for variable in program.variables]

    @property
    def _has_shards(self) -> bool:
        return any(one is not None for one in self.parts.inputs) or bool(self.parts.meetings)

    def _places_of_effects(self, shards: int) -> list[list[Array]]:
        """Return, for every shard, where the effects want its part of each of their values."""
        places: list[list[Array]] = [[] for _ in range(shards)]
        for effect in self.program.effects:
            for mine, given in zip(places, effect.places(shards), strict=True):
                mine.extend(given)
        return places

    # Levels: what must wait for which meeting ---------------------------------------------------------------------

    def _measure_levels(self) -> None:
        """Give every value the number of meetings that come before it."""
        self.meeting_levels: list[int] = []
        pending_imports = list(self.parts.imports)
        for meeting in self.parts.meetings:
            for one in pending_imports:
                self._import_level(one)
            level = max(self._level(tensor) for tensor in meeting.local)
            self.meeting_levels.append(level)
            self._levels[place(meeting.joined)] = level + 1
            for one in pending_imports:
                self._import_level(one)

    def _import_level(self, one: Import) -> None:
        level = self._level(one.common)
        for local in one.local:
            self._levels[place(local)] = level

    def _level(self, target: Tensor) -> int:
        for operation in history([target]):
            level = max((self._known(tensor) for tensor in operation.inputs), default=0)
            for index in range(operation.primitive.outputs):
                self._levels[(id(operation), index)] = level
        return self._known(target)

    def _known(self, tensor: Tensor) -> int:
        return self._levels.get(place(tensor), 0)

    def _ordered(self, targets: Sequence[Tensor]) -> tuple[list[Operation], list[int]]:
        for one in self.parts.imports:
            self._import_level(one)
        for target in targets:
            self._level(target)
        operations = [operation for operation in history(targets) if operation.arrays is None]
        levels = [self._levels[(id(operation), 0)] for operation in operations]
        order = sorted(range(len(operations)), key=lambda number: levels[number])
        return [operations[number] for number in order], [levels[number] for number in order]

    # Planning -------------------------------------------------------------------------------------------------------

    def _plan_common(self) -> None:
        parts = self.parts
        wholes = [value for where, value in parts.outputs if where is WHOLE]
        targets = [*wholes, *(one.common for one in parts.imports)]
        operations, levels = self._ordered(targets)
        arrays: dict[Any, Array] = {}
        self._common_inputs: list[Array | None] = []
        for tensor, own in zip(self.program.inputs, parts.inputs, strict=True):
            array = None if own is not None else lasting(tensor.shape, tensor.dtype)
            self._common_inputs.append(array)
            if array is not None:
                arrays[place(tensor)] = array
        self._joined = [lasting(meeting.joined.shape, meeting.joined.dtype) for meeting in parts.meetings]
        for meeting, array in zip(parts.meetings, self._joined, strict=True):
            arrays[place(meeting.joined)] = array
        for leaf in leaves(targets):
            if not leaf.is_symbolic:
                arrays[place(leaf)] = leaf.data
        bound = [
            (value, self._places[0][number - self._first_effect] if number >= self._first_effect else None)
            for number, (where, value) in enumerate(parts.outputs)
            if where is WHOLE
        ]
        imported: list[tuple[Tensor, Array | None]] = [(one.common, None) for one in parts.imports]
        self.common = Plan(operations, levels, arrays, [*bound, *imported], ScratchSpace(0, self.clock))
        for number, (where, value) in enumerate(parts.outputs):
            if where is WHOLE and number < self._first_effect:
                self._outputs[number] = self.common.array(value)

    def _plan_shards(self) -> None:
        parts = self.parts
        for number, (where, value) in enumerate(parts.outputs):
            if number >= self._first_effect:
                continue
            if isinstance(where, Split):
                whole = self.program.outputs[number]
                self._outputs[number] = lasting(whole.shape, whole.dtype)
            elif isinstance(where, Partial):
                self._outputs[number] = lasting(value[0].shape, value[0].dtype)
        self._output_parts: list[list[Array]] = [[] for _ in parts.outputs]
        self._meeting_parts: list[list[Array]] = [[] for _ in parts.meetings]
        for start, stop in self.bounds:
            self._plan_shard(start, stop)

    def _plan_shard(self, start: int, stop: int) -> None:
        parts, size = self.parts, self.parts.sizes.index(stop - start)
        arrays: dict[Any, Array] = {}
        own_inputs: list[Array | None] = []
        for own in parts.inputs:
            array = None if own is None else lasting(own[0][size].shape, own[0][size].dtype)
            own_inputs.append(array)
            if own is not None and array is not None:
                arrays[place(own[0][size])] = array
        for one in parts.imports:
            arrays[place(one.local[size])] = _rows(self.common.array(one.common), one.split, start, stop)
        targets: list[tuple[Tensor, Array | None]] = [(meeting.local[size], None) for meeting in parts.meetings]
        for number, (where, value) in enumerate(parts.outputs):
            output = self._outputs[number]
            if isinstance(where, Split) and output is not None:
                rows = _rows(output, where, start, stop)
                targets.append((value[size], rows if value[size].operation is not None else None))
            elif isinstance(where, Partial):
                effect = number - self._first_effect
                targets.append((value[size], self._places[len(self.shards)][effect] if effect >= 0 else None))
        operations, levels = self._ordered([tensor for tensor, _ in targets])
        plan = Plan(operations, levels, arrays, targets, ScratchSpace(len(self.shards) + 1, self.clock))
        self.shards.append(plan)
        self._shard_inputs.append(own_inputs)
        for number, meeting in enumerate(parts.meetings):
            self._meeting_parts[number].append(plan.array(meeting.local[size]))
        for number, (where, value) in enumerate(parts.outputs):
            if where is not WHOLE:
                self._output_parts[number].append(plan.array(value[size]))

    def _make_stages(self) -> list[tuple[Any, list[Any], list[Any]]]:
        """Return for every level the common calls, the tasks of the shards, and the joins behind them."""
        top = max([0, *self.meeting_levels, *self.common.levels, *(max(s.levels, default=0) for s in self.shards)])
        stages = []
        for level in range(top + 1):
            common = self.common.calls[level] if level < len(self.common.calls) else []
            tasks = [plan.calls[level] if level < len(plan.calls) else [] for plan in self.shards]
            joins = [
                (meeting.how, self._meeting_parts[number], self._joined[number])
                for number, meeting in enumerate(self.parts.meetings)
                if self.meeting_levels[number] == level
            ]
            stages.append((common, [partial(_run, calls) for calls in tasks] if any(tasks) else [], joins))
        return stages

    @property
    def is_stale(self) -> bool:
        """Whether a variable has moved to other memory since."""
        return any(variable.data is not array for variable, array in self._variables)

    # Running --------------------------------------------------------------------------------------------------------

    def run(self, arguments: Sequence[Array]) -> list[Array]:
        """Run on these inputs; return a copy of every result, and set the assigned variables.

        BLAS is held to one thread meanwhile, unless a program that mixes samples has to run in one piece.
        """
        self.clock.step += 1
        if not self.parts.reason:  # what has to run in one piece may use BLAS' own threads
            self._run_shards(arguments)
        else:
            self._run_alone(arguments)
        return self._results()

    @single_threaded_blas
    @quiet_arithmetic
    def _run_shards(self, arguments: Sequence[Array]) -> None:
        self._steps(arguments)

    @quiet_arithmetic
    def _run_alone(self, arguments: Sequence[Array]) -> None:
        self._steps(arguments)

    def _steps(self, arguments: Sequence[Array]) -> None:
        for array, given in zip(self._common_inputs, arguments, strict=True):
            if array is not None:
                np.copyto(array, given, casting="same_kind")
        first = True
        for common, tasks, joins in self._stages:
            for function, inputs in common:
                function(*inputs)
            if first and self.shards:
                waiting = tasks or [partial(_run, []) for _ in self.shards]
                tasks = [partial(self._begin, number, arguments, task) for number, task in enumerate(waiting)]
                first = False
            if tasks:
                POOL.run(tasks)
            for how, parts, out in joins:
                join(how, parts, out)

    def _begin(self, number: int, arguments: Sequence[Array], task: Any) -> None:
        start, stop = self.bounds[number]
        for array, given, own in zip(self._shard_inputs[number], arguments, self.parts.inputs, strict=True):
            if array is not None and own is not None:
                np.copyto(array, _rows(given, own[1], start, stop), casting="same_kind")
        task()

    def _results(self) -> list[Array]:
        outputs = []
        for number, (where, _) in enumerate(self.parts.outputs[: self._first_effect]):
            out = self._outputs[number]
            assert out is not None
            if isinstance(where, Partial):
                join(where.how, self._output_parts[number], out)
            elif isinstance(where, Split):
                for (start, stop), part in zip(self.bounds, self._output_parts[number], strict=True):
                    rows = _rows(out, where, start, stop)
                    if not np.may_share_memory(rows, part):
                        np.copyto(rows, part)
            outputs.append(out)
        count = self.program.n_results
        results = [np.array(array) for array in outputs[:count]]
        values = [np.array(array) for array in outputs[count:]]  # before any of them changes another
        for variable, value in zip(self.program.assigned, values, strict=True):
            np.copyto(variable.data, value)
            variable.touch()
        for effect in self.program.effects:
            effect.perform(len(self._places))
        return results

    @property
    def nbytes(self) -> int:
        """Memory of the values within."""
        return self.common.nbytes + sum(plan.nbytes for plan in self.shards)


def _rows(array: Array, split: Split | None, start: int, stop: int) -> Array:
    """Return the part of an array that belongs to the samples from `start` to `stop`."""
    if split is None:
        return array
    key = (slice(None),) * split.axis + (slice(local_length(split, start), local_length(split, stop)),)
    return array[key]


def _run(calls: Sequence[Any]) -> None:
    for function, inputs in calls:
        function(*inputs)
