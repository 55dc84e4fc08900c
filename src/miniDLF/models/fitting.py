"""Training, evaluation and prediction: the arguments of Keras and of the specification, translated for the loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from miniDLF.core.executor import Batch
from miniDLF.datasets import Dataset
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError
from miniDLF.models.arguments import classifies, joined, level_of, listed, rows_of, scalars, whole, with_bar
from miniDLF.optimizers import get_optimizer
from miniDLF.training import loop
from miniDLF.training.callbacks import Callback, CallbackList
from miniDLF.training.feeds import ArrayFeed, IterableFeed
from miniDLF.training.history import History
from miniDLF.training.reporting import DatasetEvaluation
from miniDLF.training.stopping import AccuracyThreshold, EarlyStopping

__all__ = ["Fitting"]

_UNSET: Any = object()


class Fitting:
    """What `Model` and `Sequential` share: fit, evaluate, predict and their one-batch forms."""

    _engine: Any

    def fit(
        self: Any,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: Any = 1,
        verbose: int | str = "auto",
        callbacks: Sequence[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
        *,
        dataset: Dataset | None = None,
        minibatch_size: int | None = None,
        early_stop_after: Any = _UNSET,
        accuracy_threshold: float | None = None,
        optimizer: Any = None,
    ) -> History:
        """Train; return the `History`.

        Either on arrays (or an iterable of batches) as in Keras, or on a `Dataset` as in the specification:
        ``fit(dataset, epochs, minibatch_size=10, early_stop_after=5, optimizer='amsgrad')``. With a data set the whole
        training and test splits are measured after every epoch, and the run stops after `early_stop_after` epochs
        without a lower training loss (``None``: never), or once the training accuracy reaches `accuracy_threshold`.

        Parameters
        ----------
        x, y
            Arrays (N, ...), lists or dictionaries of them for several inputs or outputs; or `x` alone a `Dataset`, or
            an iterable of ``(x, y)`` or ``(x, y, sample_weight)`` batches.
        batch_size, minibatch_size
            Samples a step: 32 by default, 10 with a data set. The last, partial batch is used.
        epochs, initial_epoch
            The run ends before epoch number `epochs`, counted from `initial_epoch`.
        verbose
            0 silent, 1 a line an epoch and a bar on a terminal, 2 only the lines; 'auto' is 1.
        validation_split, validation_data
            The last share of the arrays, or ``(x, y)``, ``(x, y, sample_weight)``, a `Dataset` or an iterable.
        shuffle
            Whether the samples are put in a new order every epoch, a function of the model's seed and the epoch.
        class_weight, sample_weight
            Weights of the loss by class, and by sample.
        optimizer
            Takes the place of the one given to `compile`.
        """
        if x is None:
            x = dataset
        elif dataset is not None:
            raise ArgumentError("fit: give either x (and y) or dataset, not both.")
        if isinstance(x, Dataset) and isinstance(y, int | np.integer):
            epochs, y = y, None  # the specification's second argument
        if minibatch_size is not None and batch_size is not None and minibatch_size != batch_size:
            raise ArgumentError("fit: batch_size and minibatch_size are the same argument; give one.")
        whole("fit", 0, epochs=epochs, initial_epoch=initial_epoch)
        whole("fit", 1, steps_per_epoch=steps_per_epoch, validation_steps=validation_steps)
        if isinstance(validation_freq, int | float) and (
            validation_freq < 1 or validation_freq != int(validation_freq)
        ):
            raise ArgumentError(
                "fit: validation_freq is a whole number of at least 1, or a list of epochs; received "
                f"{validation_freq!r}."
            )
        size = batch_size if minibatch_size is None else minibatch_size
        self._prepare(x, optimizer)
        engine = self.engine()
        own: list[Callback] = []
        if isinstance(x, Dataset):
            if y is not None or validation_split:
                raise ArgumentError(
                    "fit: a data set brings its own targets and test split; leave y and validation_split."
                )
            feed, validation = self._dataset_feeds(x, 10 if size is None else size, shuffle, steps_per_epoch)
            own.append(DatasetEvaluation(engine, feed.whole(), validation, accuracy=classifies(engine)))
            if validation_data is None:
                validation = None
            stop = 5 if early_stop_after is _UNSET else early_stop_after
            if not classifies(engine) and accuracy_threshold is not None:
                raise ArgumentError("fit: accuracy_threshold needs a classification loss ('cce' or 'bce').")
        else:
            train, held = self._split(x, y, sample_weight, class_weight, validation_split, validation_data)
            if self.optimizer.full_batch:
                if not isinstance(train, Batch):
                    raise ArgumentError(f"fit: {type(self.optimizer).__name__} needs all the data at once, as arrays.")
                size, shuffle = len(train), False
            feed = self._feed(train, size, shuffle, steps_per_epoch, initial_epoch)
            validation = None if held is None else self._feed(held, validation_batch_size or size, False, None)
            stop = None if early_stop_after is _UNSET else early_stop_after
        if validation_data is not None:
            held_size = validation_batch_size or size
            validation = self._validation(validation_data, held_size, validation_steps, "validation_data")
        given = listed(callbacks)
        if stop is not None:
            given.append(EarlyStopping("loss", patience=int(stop)))
        if accuracy_threshold is not None:
            given.append(AccuracyThreshold(accuracy_threshold))
        given = with_bar(given, verbose, "fit", specification=isinstance(x, Dataset))
        return loop.run(
            self,
            engine,
            feed,
            epochs=int(epochs),
            callbacks=[*own, *given],
            initial_epoch=initial_epoch,
            validation=validation,
            validation_freq=validation_freq,
            verbose=level_of(verbose, "fit"),
        )

    def _prepare(self: Any, x: Any, optimizer: Any) -> None:
        """Build a model that waits for its input shape; put another optimizer in place."""
        if self._graph is None:
            self._build_from(x)
        if optimizer is not None:
            self._recompile(optimizer)

    def _recompile(self: Any, optimizer: Any) -> None:
        self.optimizer = get_optimizer(optimizer)
        self._engine = None

    def _build_from(self: Any, x: Any) -> None:
        self.graph  # noqa: B018 - raises: only a Sequential can wait for its input shape

    def _dataset_feeds(self: Any, data: Dataset, size: int, shuffle: bool, steps: int | None) -> tuple[Any, Any]:
        convert = self.converter()
        whole = convert.batch(data.train.x, data.train.y)
        if self.optimizer.full_batch:
            return ArrayFeed(whole, len(whole)), self._test_feed(data, convert)
        train = ArrayFeed(whole, size, shuffle=shuffle, seed=self.seed, steps=steps)
        return train, self._test_feed(data, convert)

    @staticmethod
    def _test_feed(data: Dataset, convert: Any) -> Any:
        return None if data.test is None else ArrayFeed(convert.batch(data.test.x, data.test.y), len(data.test))

    def _feed(self: Any, data: Any, size: int | None, shuffle: bool, steps: int | None, first_epoch: int = 0) -> Any:
        if isinstance(data, Batch):
            return ArrayFeed(data, 32 if size is None else size, shuffle=shuffle, seed=self.seed, steps=steps)
        if size is not None:
            raise ArgumentError("fit: an iterable makes its own batches; leave batch_size.")
        return IterableFeed(data, self.converter().batch, steps, first_epoch=first_epoch)

    def _split(
        self: Any, x: Any, y: Any, sample_weight: Any, class_weight: Any, share: float, validation_data: Any
    ) -> tuple[Any, Batch | None]:
        """Return the training data and, by `validation_split`, what is held back from its end."""
        if x is None:
            raise ArgumentError("fit: there is nothing to learn from: pass fit(x, y) or fit(dataset).")
        arrays = isinstance(x, np.ndarray | Mapping) or (
            isinstance(x, list | tuple) and not (x and isinstance(x[0], tuple))
        )
        if y is None and not arrays and (isinstance(x, Iterable) or hasattr(x, "__getitem__")):
            if share:
                raise ArgumentError("fit: validation_split needs arrays; pass validation_data instead.")
            return x, None
        whole = self.converter().batch(x, y, sample_weight, class_weight)
        if not share or validation_data is not None:
            return whole, None
        if not 0 < share < 1:
            raise ArgumentError(f"fit: validation_split is a share between 0 and 1, received {share}.")
        cut = int(len(whole) * (1 - share))
        if cut < 1 or cut == len(whole):
            raise ArgumentError(f"fit: validation_split={share} of {len(whole)} samples leaves one side empty.")
        return rows_of(whole, 0, cut), rows_of(whole, cut, len(whole))

    def _validation(self: Any, data: Any, size: int | None, steps: int | None, what: str) -> Any:
        if isinstance(data, Dataset):
            split = data.test if data.test is not None else data.train
            return self._feed(self.converter().batch(split.x, split.y), size, False, steps)
        if isinstance(data, tuple):
            if len(data) not in (2, 3):
                raise ArgumentError(f"{what}: (x, y) or (x, y, sample_weight), received {len(data)} items.")
            return self._feed(self.converter().batch(*data), size, False, steps)
        if hasattr(data, "shape") or not (isinstance(data, Iterable) or hasattr(data, "__getitem__")):
            raise ArgumentTypeError(
                f"{what}: expected samples with their targets, a Dataset or an iterable of (x, y) batches; received "
                f"{type(data).__name__}. Give the targets too."
            )
        argument = "validation_steps" if what == "validation_data" else "steps"
        return IterableFeed(data, self.converter().batch, steps, argument=argument)

    # Evaluation and prediction --------------------------------------------------------------------------------------

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
        engine = self.engine()
        whole("evaluate", 1, steps=steps)
        if isinstance(x, Dataset) or y is None:
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

        Parameters
        ----------
        x
            An array, a list or dictionary of arrays for several inputs, a `Dataset` (its test split), or an iterable of
            batches of inputs (with `steps` where it has no end).
        batch_size
            Samples that are read at a time; only of use for arrays larger than memory.
        verbose
            0 silent, 1 or 'auto' a bar on a terminal and a line at the end, 2 only the line.
        """
        executor = self._executor or self.executor()
        if (
            type(x) is np.ndarray
            and callbacks is None
            and batch_size is None
            and not verbose
            and x.dtype == self.dtype
            and len(self._graph.inputs) == 1
            and x.shape[1:] == self._graph.inputs[0].shape
            and len(x)
        ):
            outputs = executor.infer((x,))
            return outputs[0] if len(outputs) == 1 else outputs
        return self._predict_any(executor, x, batch_size, steps, with_bar(callbacks, verbose, "predict"))

    def _predict_any(self: Any, executor: Any, x: Any, batch_size: Any, steps: Any, callbacks: Any) -> Any:
        convert = self.converter()
        if isinstance(x, Dataset):
            x = (x.test or x.train).x
        if isinstance(x, np.ndarray | list | tuple | Mapping):
            inputs = convert.inputs(x)
            whole("predict", 1, batch_size=batch_size)
            size = batch_size or len(inputs[0])
            steps = -(-len(inputs[0]) // size)
            batches: Any = ([a[i : i + size] for a in inputs] for i in range(0, len(inputs[0]), size))
        elif isinstance(x, Iterable):
            limited = (item for _, item in zip(range(steps), x, strict=False)) if steps is not None else x
            batches = (convert.inputs(item[0] if isinstance(item, tuple) else item) for item in limited)
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
                hook(number, {})
        hooks.call("on_predict_end", {})
        if not parts:
            raise DataError("predict: the iterable gave no batch.")
        outputs = [joined(part) for part in zip(*parts, strict=True)]
        return outputs[0] if len(outputs) == 1 else outputs

    # One batch ------------------------------------------------------------------------------------------------------

    def train_on_batch(
        self: Any, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Do one step on a batch; return its loss, with the metrics of this batch where there are any."""
        engine = self.engine()
        batch = self.converter().batch(x, y, sample_weight, class_weight)
        engine.reset()
        engine.train(batch)
        logs = engine.logs()
        return logs if return_dict else scalars(logs)

    def test_on_batch(self: Any, x: Any, y: Any, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Return the loss, and the metrics where there are any, of a batch in inference mode."""
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
