"""Steps of one's own: what a model's class may define instead of the usual training step."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from miniDLF.errors import ArgumentTypeError, NotReadyError, answering
from miniDLF.models.subclassing import unpack

if TYPE_CHECKING:  # at run time with the first model that has steps of its own: `import miniDLF.models` need not wait
    from miniDLF.models.own_steps import OwnSteps

__all__ = ["Stepping"]


def _loss_of(model: Any, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> Any:
    """Return what the model's `compute_loss` gives; say how it is written if it takes something else."""
    given = {"x": x, "y": y, "y_pred": y_pred, "sample_weight": sample_weight}
    signature = inspect.signature(model.compute_loss)
    try:
        signature.bind(**given)
    except TypeError:
        raise ArgumentTypeError(
            f"{type(model).__name__}: compute_loss{signature} cannot be called with x, y, y_pred and sample_weight. "
            "Write it as compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None)."
        ) from None
    return model.compute_loss(**given)


class Stepping:
    """`train_step`, `test_step` and `compute_loss`, which a class of one's own may define, and who calls them."""

    #: Whether the class defines `train_step`, `test_step` or `compute_loss`.
    _defines_steps: ClassVar[bool] = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        names = ("train_step", "test_step", "compute_loss")
        cls._defines_steps = any(getattr(cls, name) is not getattr(Stepping, name) for name in names)

    @property
    def has_own_steps(self: Any) -> bool:
        """Whether `fit` calls `train_step`: the class defines one, or `compute_loss`, or runs eagerly."""
        return self._defines_steps or self.run_eagerly

    def train_step(self: Any, data: Any) -> Any:
        """Make one training step; a class of one's own may define another. It is compiled, and runs for every batch.

        Parameters
        ----------
        data : tuple
            ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``, as tensors.

        Returns
        -------
        dict of str to Tensor
            Numbers by name, whose means over the epoch are logged.
        """
        from miniDLF.tensor.tape import GradientTape  # loaded with the first step of one's own

        x, y, sample_weight = unpack(data)
        with GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = _loss_of(self, x, y, y_pred, sample_weight)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": loss}

    def test_step(self: Any, data: Any) -> Any:
        """Measure one batch; a class of one's own may define another. See `train_step`."""
        x, y, sample_weight = unpack(data)
        return {"loss": _loss_of(self, x, y, self(x), sample_weight)}

    @answering
    def compute_loss(self: Any, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None) -> Any:
        """Return the loss that `compile` chose, a tensor; a class of one's own may define another."""
        from miniDLF.losses.in_tensors import loss_of  # loaded with the first step of one's own

        if self._compiled is None:
            raise NotReadyError("compute_loss: call compile(loss=...) first.")
        losses, weights = self._compiled["loss"], self._compiled["loss_weights"]
        if len(losses) == 1:
            return loss_of(losses[0], y, y_pred, sample_weight)
        parts = [
            loss_of(one, target, output, sample_weight) * weight
            for one, weight, target, output in zip(losses, weights, y, y_pred, strict=True)
        ]
        return sum(parts[1:], parts[0])

    def own_steps(self: Any) -> OwnSteps:
        """Return what calls the steps of one's own."""
        from miniDLF.models.own_steps import OwnSteps  # loaded with the first step of one's own

        known: OwnSteps | None = vars(self).get("_own_steps")
        if known is None:
            known = vars(self)["_own_steps"] = OwnSteps(self, getattr(self, "run_eagerly", False))
        return known
