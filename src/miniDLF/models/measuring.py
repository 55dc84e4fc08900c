"""Evaluation and prediction: the arguments of Keras, translated for the loop and the executor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from miniDLF.arrays import plain_array
from miniDLF.datasets import Dataset, batch_bounds
from miniDLF.datasets.batches import in_order, numbered
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError, answering
from miniDLF.models.arguments import joined, scalars, whole, with_bar
from miniDLF.training import loop
from miniDLF.training.callbacks import Callback, CallbackList

__all__ = ["Measuring"]


class Measuring:
    """What `Model` and `Sequential` share: evaluate, predict and their one-batch forms."""

    @answering
    def evaluate(
        self: Any,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = 0,
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Sequence[Callback] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Return the mean loss and the metrics, in inference mode: a number, a list, or a dictionary.

        Parameters
        ----------
        x, y
            Arrays as for `fit`; or `x` alone a `Dataset` (its test split is taken) or an iterable of batches.
        verbose
            0 silent, 1 or 'auto' a bar on a terminal and the result, 2 only the result.
        steps
            Batches to take.
        return_dict
            Whether the result is a dictionary by name.
        """
        if self.has_own_steps:
            logs = self.own_steps().evaluate(x, y, sample_weight, batch_size)
            return logs if return_dict else scalars(logs)
        self._wait_for(x)
        engine = self.engine()
        whole("evaluate", 1, steps=steps)
        if isinstance(x, Dataset) or y is None:
            if y is not None or sample_weight is not None:
                raise ArgumentError(
                    "evaluate: y and sample_weight go with arrays: evaluate(x, y, sample_weight=...). A data set "
                    "has its own targets; batches bring both: yield (x, y, sample_weight)."
                )
            feed = self._validation(x, batch_size, steps, "evaluate")
        else:
            feed = self._feed(self.converter().batch(x, y, sample_weight), batch_size, False, steps)
        hooks = CallbackList(with_bar(callbacks, verbose, "evaluate"), self, {"steps": feed.steps, "verbose": verbose})
        logs = loop.evaluate(engine, feed, hooks)
        return logs if return_dict else scalars(logs)

    def predict(
        self: Any,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = 0,
        steps: int | None = None,
        callbacks: Sequence[Callback] | None = None,
    ) -> Any:
        """Return the outputs (N, ...) for all samples of `x`, in inference mode.

        Several outputs are a list, or a dictionary where the model was made with ``outputs={name: node}``.

        Parameters
        ----------
        x
            An array, a list or dictionary of arrays for several inputs, a `Dataset` (its test split), or an iterable of
            batches of inputs (with `steps` where it has no end). Samples that hold NaN give NaN, as in Keras.
        batch_size
            Samples that are read at a time; only of use for arrays larger than memory, and with `steps` (32 then).
        steps
            Batches to take.
        verbose
            0 silent, 1 or 'auto' a bar on a terminal and a line at the end, 2 only the line.
        """
        executor = self._executor
        if executor is None:
            self._wait_for(x)
            executor = self.executor()
        if (
            type(x) is np.ndarray
            and callbacks is None
            and batch_size is None
            and steps is None
            and not verbose
            and x.dtype == self.dtype
            and len(self._graph.inputs) == 1
            and x.shape[1:] == self._graph.inputs[0].shape
            and len(x)
        ):
            return self._packed(executor.infer((x,)))
        return self._predict_any(executor, x, batch_size, steps, with_bar(callbacks, verbose, "predict"))

    def _predict_any(self: Any, executor: Any, x: Any, batch_size: Any, steps: Any, callbacks: Any) -> Any:
        convert = self.converter()
        if isinstance(x, Dataset):
            x = (x.test or x.train).x
        if hasattr(x, "__array__"):  # a tensor or a table of another library
            x = plain_array(x, "x")
        if isinstance(x, np.ndarray | list | tuple | Mapping):
            inputs = convert.inputs(x, finite=False)
            whole("predict", 1, batch_size=batch_size, steps=steps)
            cuts = batch_bounds(len(inputs[0]), batch_size or (len(inputs[0]) if steps is None else 32))[:steps]
            steps = len(cuts)
            batches: Any = ([a[first:last] for a in inputs] for first, last in cuts)
        elif isinstance(x, Iterable) or numbered(x):
            limited = islice(in_order(x), steps)
            batches = (convert.inputs(item[0] if isinstance(item, tuple) else item, finite=False) for item in limited)
        else:
            raise ArgumentTypeError(f"predict: expected an array, a Dataset or batches; received {type(x).__name__}.")
        hooks = CallbackList(callbacks, self, {"steps": steps})
        hooks.call("on_predict_begin", {})
        parts = []
        for number, batch in enumerate(batches):
            for hook in hooks.batch_hooks("on_predict_batch_begin"):
                hook(number, {})
            parts.append(executor.infer([np.asarray(array, dtype=self.dtype) for array in batch]))
            for hook in hooks.batch_hooks("on_predict_batch_end"):
                hook(number, {"outputs": self._packed(parts[-1])})
        hooks.call("on_predict_end", {})
        if not parts:
            raise DataError("predict: the iterable gave no batch.")
        return self._packed([joined(part) for part in zip(*parts, strict=True)])

    def _packed(self: Any, outputs: Any) -> Any:
        """Return predictions in the form in which the outputs were given: a dictionary, a list, or one array."""
        names = self._output_names
        if names and names[0] is not None:
            return dict(zip(names, outputs, strict=True))
        return outputs[0] if len(outputs) == 1 else outputs

    def test_on_batch(self: Any, x: Any, y: Any, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Return the loss, and the metrics where there are any, of a batch in inference mode."""
        self._wait_for(x)
        engine = self.engine()
        kept = engine.set_aside()
        try:
            engine.test(self.converter().batch(x, y, sample_weight))
            logs = engine.logs()
        finally:
            engine.put_back(kept)
        return logs if return_dict else scalars(logs)

    def predict_on_batch(self: Any, x: Any) -> Any:
        """Return the outputs for one batch."""
        return self.predict(x)
