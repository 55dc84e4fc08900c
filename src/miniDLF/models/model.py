"""The functional model: a graph with everything one does with it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from miniDLF.arrays import refuse_beyond
from miniDLF.core.buffers import Buffers
from miniDLF.core.executor import Executor
from miniDLF.core.graph import MAX_NUMBERS, Graph, Node, apply
from miniDLF.core.layer import Layer
from miniDLF.core.own import first_value
from miniDLF.core.parameter import Parameter
from miniDLF.core.program import Head
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError, NotReadyError, answering
from miniDLF.kernels.streams import fresh_seed
from miniDLF.models.arguments import whole
from miniDLF.models.calling import Calling
from miniDLF.models.compiling import arranged
from miniDLF.models.data_info import DataInfo
from miniDLF.models.fitting import Fitting
from miniDLF.models.inspecting import Inspecting
from miniDLF.models.looking import Looking
from miniDLF.models.measuring import Measuring
from miniDLF.models.stepping import Stepping
from miniDLF.models.subclassing import writes_call
from miniDLF.optimizers import get_optimizer
from miniDLF.tensor import recording
from miniDLF.tensor.tensor import Tensor
from miniDLF.training.converting import Converter
from miniDLF.training.engine import Engine
from miniDLF.whole import is_whole

__all__ = ["Model"]


class Model(Calling, Stepping, Fitting, Measuring, Inspecting, Looking):
    """A model of the graph between `inputs` and `outputs`.

    Parameters
    ----------
    inputs, outputs
        Nodes (from `Input` and from calling layers), or lists or dictionaries of them.
    name
        Used where the model is a part of another one.
    seed
        Of the initial weights, the order of the samples and all dropout; drawn once if ``None``. The same seed gives
        the same bits.
    dtype
        'float32' or 'float64'.
    shards
        Into how many parts a training batch is cut. ``None``: one a thread. A fixed number gives the same bits whatever
        the number of threads.
    """

    #: Whether steps are run as they are written, without a plan (see `compile`).
    run_eagerly = False
    #: Calling a model on a node inlines its graph there, so it is a layer like any other.
    takes_many = False

    _graph: Graph | None
    _engine: Engine | None
    _output_names: list[str | None]

    @answering
    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        *,
        name: str | None = None,
        seed: int | None = None,
        dtype: Any = "float32",
        shards: int | None = None,
    ) -> None:
        if inputs is None and outputs is None and (writes_call(self) or self.has_own_steps):
            self._settings(name, seed, dtype, shards)
            return
        if inputs is None or outputs is None:
            raise ArgumentTypeError(
                f"{type(self).__name__}: expected inputs and outputs: nodes, which Input(shape) and layers called on "
                "nodes return; or derive a class that defines call(self, x), or train_step(self, data)."
            )
        self._settings(name, seed, dtype, shards)
        named_inputs, named_outputs = _nodes(inputs, "inputs"), _nodes(outputs, "outputs")
        for given, node in named_inputs:
            if given is not None:
                node.name = given
        self._output_names = [given for given, _ in named_outputs]
        self._graph = Graph([n for _, n in named_inputs], [n for _, n in named_outputs])
        self._graph.connect(self)

    @property
    def seed_is_given(self) -> bool:
        """Whether somebody has chosen the seed, rather than chance."""
        return bool(self.seed != self._drawn_seed)

    def _settings(self, name: str | None, seed: int | None, dtype: Any, shards: int | None) -> None:
        self.name = name
        whole(type(self).__name__, 0, seed=seed)
        self.seed = fresh_seed() if seed is None else int(seed)
        self._drawn_seed = self.seed if seed is None else None
        with suppress(TypeError):  # no type at all
            self.dtype = np.dtype(dtype)
        if getattr(self, "dtype", None) not in (np.float32, np.float64):
            raise ArgumentError(f"dtype: 'float32' or 'float64', received {dtype!r}.")
        if shards is not None and not is_whole(shards, 1):
            raise ArgumentError(f"shards: a whole number of at least 1, or None; received {shards!r}.")
        self.shards = None if shards is None else int(shards)
        self._graph = None
        self._output_names = []
        self._untrained()

    def _untrained(self) -> None:
        """Be as before `compile`, without memory for weights and steps."""
        self._buffers: Buffers | None = None
        self._executor: Executor | None = None
        self._engine = None
        self._compiled: dict[str, Any] | None = None
        self._doctor: Any = None
        self._held: frozenset[str] | None = None  # what a restored run trains, whatever the layers say by now
        self._told = self._seen = DataInfo()  # what the user says of the data, and what `fit` sees
        self.optimizer: Any = None
        self.loss: Any = None
        self.history: Any = None
        self.position: Any = None
        self.epochs_seen = 0  # by all runs: the order of the samples goes on
        self.stop_training = self.interrupted = self.finished = False
        self.stop_reason: str | None = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in ("_graph", "_compiled"):
                raise NotReadyError(
                    f"{type(self).__name__}: its __init__ does not call super().__init__(); write that into its first "
                    "line."
                )
            return super().__getattr__(name)

    # The graph ------------------------------------------------------------------------------------------------------

    @property
    def graph(self) -> Graph:
        """The graph of layers."""
        if self._graph is None:
            raise NotReadyError("the model has no layers yet: add some, the first one with input_shape=(...).")
        return self._graph

    def __call__(self, inputs: Any, *, training: bool | None = None) -> Any:
        """Use the model as a layer: its graph, with the same layers and weights, continues from these nodes.

        On tensors or arrays (N, ...) it computes, layer by layer, what can be differentiated: see `miniDLF.gradient`
        and `miniDLF.function`. `predict` is for numbers alone.
        """
        first = inputs[0] if isinstance(inputs, (list, tuple)) and inputs else inputs
        if isinstance(first, (Tensor, np.ndarray)):
            return self._on_tensors(inputs, recording.trains() if training is None else training)
        return apply(self, inputs)  # type: ignore[arg-type]

    @property
    def described(self) -> str:
        """How error messages call the model."""
        return type(self).__name__ + (f" {self.name!r}" if self.name else "")

    def compose(self, inputs: Any) -> Any:
        """Repeat the graph from other input nodes."""
        graph = self.graph
        sources = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        if len(sources) != len(graph.inputs):
            raise ArgumentError(f"{self.described} takes {len(graph.inputs)} inputs, received {len(sources)}.")
        self.ready()
        copies: dict[Node, Node] = dict(zip(graph.inputs, sources, strict=True))
        for node in graph.nodes:
            if node.layer is not None:
                here = [copies[source] for source in node.inputs]
                received: Any = tuple(n.shape for n in here) if node.layer.takes_many else here[0].shape
                shape = node.layer.shape_for(received)
                copies[node] = Node(node.layer, tuple(here), shape, scope=node.scope, host=node.host)
        results = [copies[node] for node in graph.outputs]
        return results[0] if len(results) == 1 else results

    def ready(self) -> Buffers:
        """Make the flat buffers and the initial weights, if they are not there yet."""
        with recording.recording(None):  # weights are drawn, and moved, now: also while a program is recorded
            return self._ready()

    def _ready(self) -> Buffers:
        if self._buffers is None:
            graph = self.graph
            for layer in graph.layers:
                for parameter in layer.parameters:
                    _check_size(layer, parameter)
            for i, layer in enumerate(graph.layers):
                for j, parameter in enumerate(layer.parameters):
                    if parameter.value is None:
                        rng = np.random.default_rng([self.seed, i, j])
                        path = f"{graph.names[layer]}/{parameter.name}"
                        drawn = first_value(parameter.initializer, parameter.shape, rng, parameter.fans, path)
                        where = f"{layer.described}: the initial {parameter.name}"
                        value = parameter.checked(drawn, where)
                        refuse_beyond(np.atleast_1d(value), self.dtype, where, entry="row")
                        parameter.value = value.astype(self.dtype, copy=False)
            self._buffers = Buffers(self._entries(), self.dtype)
        self._buffers.settle()
        return self._buffers

    def _entries(self) -> list[list[tuple[str, Any, bool]]]:
        def trained(path: str, parameter: Any, layer: Layer) -> bool:
            if self._held is not None:
                return path in self._held
            return parameter.trainable and self.graph.trains(layer) and layer.trains(parameter)

        return [
            [(path := f"{name}/{p.name}", p, trained(path, p, layer)) for p in layer.parameters]
            for layer, name in self.graph.names.items()
        ]

    # Compiling ------------------------------------------------------------------------------------------------------

    @answering
    def compile(
        self,
        loss: Any = "mse",
        optimizer: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
        doctor: bool = True,
        *,
        run_eagerly: bool = False,
    ) -> None:
        """Choose what is minimised, by which rule, and what is measured.

        Parameters
        ----------
        loss
            A name ('mse', 'cce', 'bce', ...) or a `Loss`; a list or dictionary of them for several outputs.
        optimizer
            A name or an `Optimizer`; 'amsgrad' if neither this nor ``fit(optimizer=...)`` names one.
        metrics, weighted_metrics
            Names or `Metric` objects; the latter are weighted by the sample weights.
        loss_weights
            The weight of each output's loss.
        doctor
            Whether this call, and later `fit`, warn (`miniDLF.errors.DoctorWarning`) of what keeps a model from
            learning.
        run_eagerly
            Whether `train_step` and `call` run operation by operation, with numbers to print and to stop at; slow.
        """
        self.run_eagerly = bool(run_eagerly)
        count = 1 if self._graph is None else len(self._graph.outputs)
        self._compiled = arranged(loss, metrics, loss_weights, weighted_metrics, self.output_names, count)
        self.optimizer, self.loss = get_optimizer("amsgrad" if optimizer is None else optimizer), loss
        self._engine = self._executor = self._held = None
        vars(self).pop("_own_steps", None)
        if self._buffers is not None:
            self._buffers = Buffers(self._entries(), self.dtype)  # what is trainable may have changed
        from miniDLF.doctor.observer import Doctor  # whoever only predicts needs none of its checks

        self._doctor = Doctor(doctor)
        if self._graph is not None and not self.has_own_steps:
            self._doctor.compiled(self.engine())

    def engine(self) -> Any:
        """Return what trains the model; `compile` must have come before."""
        if self.has_own_steps:
            return self.own_steps()
        if self._engine is None:
            if self._compiled is None:
                raise NotReadyError("the model is not compiled: call compile(loss=..., optimizer=...) first.")
            c = self._compiled
            heads = [
                Head(loss, weight, [*metrics, *weighted], name)
                for loss, weight, metrics, weighted, name in zip(
                    c["loss"], c["loss_weights"], c["metrics"], c["weighted"], self.output_names, strict=True
                )
            ]
            self._engine = Engine(self.graph, self.ready(), heads, self.optimizer, seed=self.seed, shards=self.shards)
            self._executor = self._engine.executor
            vars(self.optimizer)["_engine"] = ref(self._engine)  # which counts its steps
        return self._engine

    def converter(self) -> Converter:
        """Return what checks and arranges arrays for this model."""
        return Converter(self.graph, self._engine.heads if self._engine else [], self.dtype)

    def executor(self) -> Executor:
        """Return what runs the graph; without `compile` it only predicts."""
        if self._executor is None:
            self._executor = Executor(self.graph, self.ready(), seed=self.seed, shards=self.shards)
        return self._executor

    def _extra_structure(self, places: Mapping[Node, int]) -> dict[str, Any]:
        """What a kind of model saves beyond its graph."""
        return {}

    def _restore_structure(self, structure: Mapping[str, Any], nodes: list[Node]) -> None:
        """Take that back."""

    def __getstate__(self) -> dict[str, Any]:
        """What a copy (`copy.deepcopy`, a worker of joblib) needs: buffers and memory of steps are made anew there."""
        state = self.__dict__ | {"_buffers": None, "_executor": None, "_engine": None, "_own_steps": None}
        return state if self._engine is None else state | {"_training_state": self.training_state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        training = state.pop("_training_state", None)
        self.__dict__.update(state)
        if self._graph is not None:
            self._graph.connect(self)
        if training is not None:
            self.resume_training(training)

    def training_state(self) -> dict[str, Any]:
        """Return what `resume_training` needs: the state of the optimizer, and how many epochs have been seen."""
        return {**self.engine().training_state(), "epochs": np.asarray(self.epochs_seen)}

    def resume_training(self, state: Mapping[str, Any]) -> None:
        """Go on from what `training_state` gave: also with the parameters that were trained there.

        These need not be those that the layers name by now, since ``trainable`` is in force from the next `compile`.
        """
        state = dict(state)
        epochs = np.asarray(state.pop("epochs", 0))  # older files lack it
        if epochs.shape or epochs.dtype.kind not in "iu" or epochs < 0:
            raise DataError(f"epochs: expected a whole number of at least 0, received {epochs}.")
        entries = [entry for layer in self._entries() for entry in layer]
        if "trained" in state and [trained for *_, trained in entries] != [bool(flag) for flag in state["trained"]]:
            flags = zip(entries, state["trained"], strict=True)
            self._held = frozenset(path for (path, *_), trained in flags if trained)
            self._buffers = self._executor = self._engine = None
        self.engine().load_training_state(state)
        self.epochs_seen = int(epochs)

    def held_weights(self) -> dict[str, Any]:
        """Return all parameters by path as the end of a run would leave them now: averages under `MovingAverage`."""
        return {**self.named_weights(), **({} if self._engine is None else self._engine.held())}

    # Gradients ------------------------------------------------------------------------------------------------------

    def gradients(self, x: Any, y: Any, sample_weight: Any = None, *, training: bool = True) -> tuple[float, Any]:
        """Return the mean loss and its gradients by path, in the order of `get_weights`; nothing changes."""
        self._wait_for(x)
        engine = self.engine()
        return engine.gradients(self.converter().batch(x, y, sample_weight), training=training)

    @property
    def data_info(self) -> DataInfo:
        """What is known of the model's data: as you say, else as `fit` saw it. `save` writes it."""
        return self._told.over(self._seen)

    @data_info.setter
    def data_info(self, value: DataInfo | None) -> None:
        if not isinstance(value, DataInfo | None):
            raise ArgumentTypeError(f"data_info is a DataInfo, such as DataInfo(scale=1 / 255); received {value!r}.")
        self._told = value or DataInfo()

    def check_data_info(self) -> None:
        """Refuse names of more or fewer classes than the output has."""
        if len(self.graph.outputs) == 1:
            self.data_info.check_classes(self.graph.outputs[0].shape)

    def __repr__(self) -> str:
        if self._graph is None:
            return f"<{self.described}, empty>"
        return f"<{self.described}: {len(self.graph.given)} layers, {self.count_params():,} parameters>"


def _check_size(layer: Layer, parameter: Parameter) -> None:
    if parameter.size > MAX_NUMBERS:
        raise ArgumentError(
            f"{layer.described}: {parameter.name} would have the shape {parameter.shape}, more than {MAX_NUMBERS:,} "
            "numbers. Look at the sizes that the layer was given."
        )


def _nodes(value: Any, what: str) -> list[tuple[str | None, Node]]:
    pairs: list[tuple[str | None, Any]]
    if isinstance(value, Mapping):
        pairs = [(str(name), node) for name, node in value.items()]
    else:
        pairs = [(None, node) for node in (value if isinstance(value, list | tuple) else [value])]
    for _, node in pairs:
        if not isinstance(node, Node):
            raise ArgumentTypeError(
                f"Model({what}=...): expected nodes, which Input(shape) and layers called on nodes return; received "
                f"{type(node).__name__}."
            )
    return pairs
