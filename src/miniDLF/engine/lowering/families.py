"""The lowerings, loaded so that they register themselves."""

import miniDLF.engine.lowering.elementwise
import miniDLF.engine.lowering.images
import miniDLF.engine.lowering.products
import miniDLF.engine.lowering.random
import miniDLF.engine.lowering.reductions  # noqa: F401

__all__: list[str] = []
