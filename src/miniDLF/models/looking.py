"""What one looks at a model with, and what keeps it: gradients checked, profiles, pictures, summaries and files.

Each method loads what it needs when it is called: importing the models, which every program does, loads none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from miniDLF.errors import answering
from miniDLF.training.notebook import interactive
from miniDLF.writing import write_line

if TYPE_CHECKING:
    from miniDLF.doctor import Diagnosis
    from miniDLF.models.checking import GradientReport
    from miniDLF.models.plots import Plots
    from miniDLF.models.profiling import Profile

__all__ = ["Looking"]


class Looking:
    """The part of a model that looks at it, and writes it to files and reads them."""

    graph: Any
    described: Any
    dtype: Any
    _graph: Any
    ready: Any

    def check_gradients(self, x: Any, y: Any, **options: Any) -> GradientReport:
        """Compare every gradient with finite differences in float64; see `miniDLF.models.checking.check_gradients`."""
        from miniDLF.models.checking import check_gradients

        return check_gradients(self, x, y, **options)

    def profile(self, x: Any, y: Any, repeats: int = 10, print_fn: Callable[[str], Any] | None = None) -> Profile:
        """Time every layer on a batch, print the table and return it. See `miniDLF.models.profiling.profile`.

        A notebook or an interactive Python shows what is returned by itself, so nothing is printed there.
        """
        from miniDLF.models.profiling import profile

        result = profile(self, x, y, repeats)
        if print_fn is not None or not interactive():
            (print_fn or write_line)(str(result))
        return result

    @answering
    def diagnose(
        self,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        validation_data: Any = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        batch_size: int | None = None,
        print_fn: Callable[[str], Any] | None = None,
    ) -> Diagnosis:
        """Look for what keeps the model from learning, print the findings and return them; nothing changes.

        The arguments are those of `fit`. A notebook or an interactive Python shows what is returned by itself, so
        nothing is printed there. See `miniDLF.models.diagnosing.diagnose`.
        """
        from miniDLF.models.diagnosing import diagnose

        result = diagnose(self, x, y, sample_weight, validation_data, validation_split, shuffle, batch_size)
        if print_fn is not None or not interactive():
            (print_fn or write_line)(str(result))
        return result

    @answering
    def summary(
        self,
        style: str = "lines",
        print_fn: Callable[[str], Any] | None = None,
        line_length: int | None = None,
    ) -> None:
        """Print the layers with their shapes and parameters.

        Parameters
        ----------
        style
            'lines' are those of the specification, 'details' adds the name and the settings of each layer (as 'lines'
            does for graphs that are no chain), 'table' has them in columns, with the memory of a sample.
        print_fn
            Receives each line instead of standard output.
        line_length
            Letters of a line at the most; it makes a table, whose longer cells are folded (160 without it).
        """
        from miniDLF.models import summary

        summary.show(self.graph, self.described, self.dtype.itemsize, style, print_fn, self._sequential, line_length)

    _sequential = False

    @property
    def plot(self) -> Plots:
        """Pictures: ``weights()``, ``activations(x)``, ``confusion(x, y)``, ``predictions(x, y)``."""
        from miniDLF.models.plots import Plots

        return Plots(self)

    def _repr_html_(self) -> str:
        """Show the graph in notebooks."""
        from html import escape

        from miniDLF.models.drawing import graph_svg

        return graph_svg(self._graph) if self._graph is not None else escape(repr(self), quote=False)

    @answering
    def save(self, path: Any, *, include_optimizer: bool = False) -> None:
        """Save structure and weights to one safetensors file; on request the optimizer's state too."""
        from miniDLF.models import persistence

        persistence.save(self, path, include_optimizer)

    @answering
    def save_weights(self, path: Any) -> None:
        """Save the weights alone, by path."""
        from miniDLF.models import persistence

        persistence.save_weights(self, path)

    @answering
    def load_weights(self, path: Any, *, strict: bool = True, skip_mismatch: bool = False) -> Any:
        """Load weights by path; ``strict=False`` or Keras' ``skip_mismatch=True`` takes what fits.

        Returns the report of what fitted, what was missing, extra or of another shape.
        """
        from miniDLF.models import persistence

        report = persistence.load_weights(self, path, strict and not skip_mismatch)
        self.ready().written = True
        return report
