"""The autoencoder: an encoder and a decoder trained as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from miniDLF.core.graph import Node
from miniDLF.errors import ArgumentTypeError, ShapeError
from miniDLF.models.model import Model

__all__ = ["Autoencoder"]


class Autoencoder(Model):
    """``decoder(encoder(x))``, trained to give `x` back; both parts share their weights with it and work alone.

    ``fit(x)`` needs no targets.

    Parameters
    ----------
    encoder, decoder
        Models; the decoder takes what the encoder gives.
    loss, optimizer
        As for `compile`, which is called at once.
    """

    def __init__(
        self, encoder: Model, decoder: Model, loss: Any = "mse", optimizer: Any = None, **settings: Any
    ) -> None:
        for what, part in (("encoder", encoder), ("decoder", decoder)):
            if not isinstance(part, Model):
                raise ArgumentTypeError(
                    f"Autoencoder: {what} is a model, such as Sequential([...]); received {type(part).__name__}."
                )
        if encoder.output_shape != decoder.input_shape:
            raise ShapeError(
                f"Autoencoder: the encoder gives {encoder.output_shape}, the decoder takes {decoder.input_shape}. "
                "Make them the same."
            )
        start = Node(None, (), encoder.input_shape)
        code = encoder(start)
        super().__init__(start, decoder(code), **settings)
        self.encoder, self.decoder = encoder, decoder
        self._code = code
        self.compile(loss, optimizer)

    def encode(self, x: Any) -> Any:
        """Return the codes of samples."""
        return self.encoder.predict(x)

    def decode(self, code: Any) -> Any:
        """Return the samples of codes."""
        return self.decoder.predict(code)

    def autoencode(self, x: Any) -> Any:
        """Return what the autoencoder makes of samples."""
        return self.predict(x)

    def fit(self, x: Any = None, y: Any = None, *arguments: Any, **keywords: Any) -> Any:
        """Train; without `y` the samples are their own targets. The arguments are those of `Model.fit`."""
        if getattr(y, "ndim", 0) and y.shape[1:] != self.output_shape:
            raise ShapeError(
                f"Autoencoder.fit: an autoencoder learns x itself: fit(x), or fit(x, clean) with samples like x; "
                f"expected (N, {', '.join(map(str, self.output_shape))}), received y of shape {y.shape}."
            )
        return super().fit(x, x if y is None and hasattr(x, "shape") else y, *arguments, **keywords)

    def evaluate(self, x: Any = None, y: Any = None, *arguments: Any, **keywords: Any) -> Any:
        """Return the loss; without `y` the samples are their own targets. Otherwise as `Model.evaluate`."""
        return super().evaluate(x, x if y is None and hasattr(x, "shape") else y, *arguments, **keywords)

    def _extra_structure(self, places: Mapping[Node, int]) -> dict[str, Any]:
        return {"code": places[self._code]}

    def _restore_structure(self, structure: Mapping[str, Any], nodes: list[Node]) -> None:
        self._code = code = nodes[structure["code"]]
        settings: Any = {"seed": self.seed, "dtype": self.dtype, "shards": self.shards}
        graph = self.graph
        self.encoder = Model(graph.inputs, code, **settings)
        middle = Node(None, (), code.shape)
        copies: dict[Node, Node] = {code: middle}
        for node in graph.nodes[graph.nodes.index(code) + 1 :]:
            sources = tuple(copies[source] for source in node.inputs)
            copies[node] = Node(node.layer, sources, node.shape, host=node.host)
        self.decoder = Model(middle, copies[graph.outputs[0]], **settings)
