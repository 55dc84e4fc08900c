"""Passes: program in, program out that computes the same with less. The order in which they run is `PASSES`."""

from miniDLF.engine.passes.equal import merge_equal
from miniDLF.engine.passes.simplify import simplify
from miniDLF.engine.passes.unread import forget_unread

__all__ = ["PASSES"]

PASSES = (simplify, merge_equal, simplify, merge_equal, forget_unread)
