"""Training: the arguments of Keras and of the specification, translated for the loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from miniDLF.core.executor import Batch
from miniDLF.datasets import Dataset
from miniDLF.errors import ArgumentError, ArgumentTypeError, answering
from miniDLF.models.arguments import classifies, frequency, level_of, listed, needing, scalars, whole, with_bar
from miniDLF.models.data_info import seen_in
from miniDLF.optimizers import get_optimizer
from miniDLF.training import loop
from miniDLF.training.callbacks import Callback
from miniDLF.training.feeds import ArrayFeed, IterableFeed
from miniDLF.training.history import History
from miniDLF.training.reporting import DatasetEvaluation
from miniDLF.training.stopping import AccuracyThreshold, EarlyStopping
from miniDLF.whole import is_whole

__all__ = ["Fitting"]


class _Default(int):
    """A default that ``is`` not the same number given by the user."""


_ONCE, _PATIENCE = _Default(1), _Default(5)


class Fitting:
    """What `Model` and `Sequential` share: fit and train_on_batch."""

    _engine: Any

    @answering
    def fit(
        self: Any,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: Any = _ONCE,
        verbose: Any = "auto",
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
        early_stop_after: Any = _PATIENCE,
        accuracy_threshold: float | None = None,
        optimizer: Any = None,
        doctor: bool = True,
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
            The run ends before epoch number `epochs` counted from `initial_epoch`.
        verbose
            0 silent, 1 a line an epoch and a bar on a terminal, 2 only the lines; 'auto' is 1.
        validation_split, validation_data
            The last share of the arrays, or ``(x, y)``, ``(x, y, sample_weight)``, a `Dataset` or an iterable; beside a
            data set the latter takes the place of its test split.
        shuffle
            Whether the samples are put in a new order every epoch, a function of the model's seed and the epoch.
        class_weight, sample_weight
            Weights of the loss by class, and by sample.
        optimizer
            Takes the place of the one given to `compile`.
        doctor
            Whether to warn (`miniDLF.errors.DoctorWarning`), once of each, of what keeps the model from learning;
            ``compile(doctor=False)`` turns it off for all runs.
        """
        if x is None:
            x = dataset
        elif dataset is not None:
            raise ArgumentError("fit: give either x (and y) or dataset, not both.")
        if isinstance(x, Dataset) and is_whole(y):  # fit(dataset, epochs, minibatch_size, ...)
            if epochs is not _ONCE:
                if early_stop_after is not _PATIENCE:
                    raise ArgumentError(
                        "fit: epochs or early_stop_after is there twice; give each once: "
                        "fit(dataset, epochs, minibatch_size, early_stop_after, optimizer)."
                    )
                early_stop_after = epochs
            y, epochs = None, y
            if not isinstance(verbose, int) and not is_whole(verbose) and verbose != "auto":
                verbose, optimizer = "auto", verbose
        if minibatch_size is not None and batch_size is not None and minibatch_size != batch_size:
            raise ArgumentError("fit: batch_size and minibatch_size are the same argument; give one.")
        stop = None if early_stop_after is _PATIENCE and not isinstance(x, Dataset) else early_stop_after
        whole("fit", 0, epochs=epochs, initial_epoch=initial_epoch, early_stop_after=stop)
        whole("fit", 1, steps_per_epoch=steps_per_epoch, validation_steps=validation_steps)
        if not isinstance(shuffle, bool | np.bool_):
            raise ArgumentTypeError(f"fit: shuffle is True or False, received {shuffle!r}.")
        if validation_data is None and not validation_split:
            needing("validation_data", validation_steps=validation_steps, validation_batch_size=validation_batch_size)
        validation_freq = frequency(validation_freq)
        size = batch_size if minibatch_size is None else minibatch_size
        if self.has_own_steps:
            if sample_weight is not None and y is None:
                raise ArgumentError("fit: sample_weight goes with y.")
            return self.own_steps().fit(
                x,
                y,
                sample_weight=sample_weight,
                batch_size=size,
                epochs=int(epochs),
                callbacks=with_bar(listed(callbacks), verbose, "fit"),
                validation_split=validation_split,
                validation_data=validation_data,
                shuffle=bool(shuffle),
                initial_epoch=int(initial_epoch),
                steps_per_epoch=steps_per_epoch,
                validation_freq=validation_freq,
                verbose=level_of(verbose, "fit"),
            )
        self._prepare(x, optimizer)
        engine = self.engine()
        own: list[Callback] = []
        if isinstance(x, Dataset):
            if y is not None or validation_split:
                raise ArgumentError(
                    "fit: a data set brings its own targets and test split; leave y and validation_split."
                )
            held = None
            convert = self.converter()
            learned = convert.batch(x.train.x, x.train.y, sample_weight, class_weight)
            feed = self._dataset_feed(learned, 10 if size is None else size, shuffle, steps_per_epoch)
            validation = None
            test = self._test_feed(x, convert) if validation_data is None else None
            own.append(DatasetEvaluation(engine, feed.whole(), test, accuracy=classifies(engine)))
            if not classifies(engine) and accuracy_threshold is not None:
                raise ArgumentError("fit: accuracy_threshold needs a classification loss ('cce' or 'bce').")
        else:
            train, held = self._split(x, y, sample_weight, class_weight, validation_split, validation_data)
            if self.optimizer.full_batch:
                if not isinstance(train, Batch):
                    raise ArgumentError(f"fit: {type(self.optimizer).__name__} needs all the data at once, as arrays.")
                size, shuffle = len(train), False
            feed = self._feed(train, size, shuffle, steps_per_epoch, initial_epoch, class_weight)
            held_size = validation_batch_size or size
            validation = None if held is None else self._feed(held, held_size, False, validation_steps)
        if validation_data is not None:
            held_size = validation_batch_size or size
            validation = self._validation(validation_data, held_size, validation_steps, "validation_data")
        if isinstance(feed, ArrayFeed):
            self._seen = seen_in(x, feed.data.inputs, [node.shape for node in self.graph.outputs])
        from miniDLF.doctor.observer import Observer  # whoever only predicts needs none of its checks

        observing = [Observer(self._doctor, engine, feed, validation, split=held is not None)]
        given = listed(callbacks)
        if stop is not None:
            given.append(EarlyStopping("loss", patience=stop))
        if accuracy_threshold is not None:
            given.append(AccuracyThreshold(accuracy_threshold))
        given = with_bar(given, verbose, "fit", specification=isinstance(x, Dataset))
        return loop.run(
            self,
            engine,
            feed,
            epochs=int(epochs),
            callbacks=[*own, *given, *(observing if doctor and self._doctor.enabled else ())],
            initial_epoch=int(initial_epoch),
            validation=validation,
            validation_freq=validation_freq,
            verbose=level_of(verbose, "fit"),
        )

    def _prepare(self: Any, x: Any, optimizer: Any) -> None:
        """Build a model that waits for its input shape; put another optimizer in place."""
        self._wait_for(x)
        if optimizer is not None:
            self._recompile(optimizer)

    def _wait_for(self: Any, x: Any) -> None:
        """Build a model that waits for its input shape from the data."""
        if self._graph is None:
            self._build_from(x)

    def _recompile(self: Any, optimizer: Any) -> None:
        self.optimizer = get_optimizer(optimizer)
        self._engine = None

    def _build_from(self: Any, x: Any) -> None:
        self.graph  # noqa: B018 - raises: only a Sequential can wait for its input shape

    def _dataset_feed(self: Any, data: Batch, size: int, shuffle: bool, steps: int | None) -> ArrayFeed:
        if self.optimizer.full_batch:
            return ArrayFeed(data, len(data))
        return ArrayFeed(data, size, shuffle=shuffle, seed=lambda: self.seed, steps=steps)

    @staticmethod
    def _test_feed(data: Dataset, convert: Any) -> Any:
        return None if data.test is None else ArrayFeed(convert.batch(data.test.x, data.test.y), len(data.test))

    def _feed(
        self: Any,
        data: Any,
        size: int | None,
        shuffle: bool,
        steps: int | None,
        first_epoch: int = 0,
        class_weight: Any = None,
    ) -> Any:
        if isinstance(data, Batch):
            size = 32 if size is None else size
            return ArrayFeed(data, size, shuffle=shuffle, seed=lambda: self.seed, steps=steps)
        if size is not None:
            raise ArgumentError("fit: an iterable makes its own batches; leave batch_size.")
        convert = partial(self.converter().batch, class_weight=class_weight)
        return IterableFeed(data, convert, steps, first_epoch=first_epoch)

    def _split(
        self: Any, x: Any, y: Any, sample_weight: Any, class_weight: Any, share: float, validation_data: Any
    ) -> tuple[Any, Batch | None]:
        """Return the training data and, by `validation_split`, what is held back from its end."""
        if x is None:
            raise ArgumentError("fit: there is nothing to learn from: pass fit(x, y) or fit(dataset).")
        if y is None and isinstance(x, list | tuple) and len(x) == 2 and not isinstance(x[0], tuple):
            raise ArgumentError(f"fit: received one {type(x).__name__} of two and no targets; pass fit(x, y).")
        arrays = isinstance(x, np.ndarray | Mapping) or (
            isinstance(x, list | tuple) and not (x and isinstance(x[0], tuple))
        )
        if y is None and not arrays and (isinstance(x, Iterable) or hasattr(x, "__getitem__")):
            if share:
                raise ArgumentError("fit: validation_split needs arrays; pass validation_data instead.")
            if sample_weight is not None:
                raise ArgumentError("fit: batches bring their own weights: yield (x, y, sample_weight).")
            return x, None
        convert = self.converter()
        whole = convert.batch(x, y, sample_weight)
        if not share or validation_data is not None:
            return convert.weighted(whole, class_weight), None
        if not 0 < share < 1:
            raise ArgumentError(f"fit: validation_split is a share between 0 and 1, received {share}.")
        cut = int(len(whole) * (1 - share))
        if cut < 1 or cut == len(whole):
            raise ArgumentError(f"fit: validation_split={share} of {len(whole)} samples leaves one side empty.")
        return convert.weighted(whole.between(0, cut), class_weight), whole.between(cut, len(whole))

    def _validation(self: Any, data: Any, size: int | None, steps: int | None, what: str) -> Any:
        if isinstance(data, Dataset):
            split = data.test if data.test is not None else data.train
            return self._feed(self.converter().batch(split.x, split.y), size, False, steps)
        if isinstance(data, list) and data and not isinstance(data[0], tuple):
            raise ArgumentTypeError(
                f"{what} received a list of {type(data[0]).__name__}; "
                + ("pass evaluate(x, y)." if what == "evaluate" else f"{what} is a tuple: (x, y).")
            )
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

    def train_on_batch(
        self: Any, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Do one step on a batch; return its loss, with the metrics of this batch where there are any."""
        self._wait_for(x)
        engine = self.engine()
        batch = self.converter().batch(x, y, sample_weight, class_weight)
        engine.reset()
        engine.train(batch)
        logs = engine.logs()
        return logs if return_dict else scalars(logs)
