"""The normal distribution, and the activation that is made of it.

NumPy has no error function. The tail ``Q(a) = erfc(a / sqrt(2)) / 2`` of a standard normal distribution, a >= 0, is
``exp(-a^2 / 2)`` times something smooth: a polynomial in ``u = p a / (1 + p a)``, which runs from 0 to 1, with the
value 1/2 at u = 0 (the form is that of Abramowitz & Stegun 1964, 7.1.26, with more terms; the coefficients minimise the
largest relative error of the tail up to a = 7 and a = 12.7). It is right to within 1e-7 in single precision and 1e-14
in double, and up to a = 5 to within 2e-6 and 2e-14 of itself, however small it is.
"""

from __future__ import annotations

import math

import numpy as np

from miniDLF.kernels.elementwise import pieces, tiny
from miniDLF.kernels.workspace import Array, Lend

__all__ = ["gelu", "normal_tail"]

#: By the bytes of a number: p, and the coefficients from the highest power down to the first.
_TAIL = {
    4: (
        0.282842712474619,
        (
            0.04338673874735832,
            -0.11721517145633698,
            0.02098170854151249,
            0.18471089005470276,
            0.10194514691829681,
            -1.0377697944641113,
            1.7145448923110962,
            -1.4104743003845215,
        ),
    ),
    8: (
        0.2474873734152916,
        (
            -0.003274306654579757,
            0.020375859983510484,
            -0.05524632714978188,
            0.08885739665328146,
            -0.10271422433962626,
            0.09528952057226887,
            -0.06125951435691312,
            0.023135620491542722,
            -0.027746935883908214,
            0.0193674453689806,
            0.058821556316219464,
            -0.01228977316761464,
            -0.22683510724034084,
            0.07238744033423485,
            0.9747712170760143,
            -2.2213320754591037,
            2.469662414226427,
            -1.6119702387071422,
        ),
    ),
}


def normal_tail(x: Array, size: Array, density: Array, tail: Array, work: Array) -> None:
    """Write ``|x|`` to `size`, ``exp(-x^2 / 2)`` to `density` and the tail ``Q(|x|)`` to `tail`.

    All are arrays of one shape and type, none of them `x`; what is left in `work` means nothing.
    """
    p, (highest, *others) = _TAIL[x.itemsize]
    np.absolute(x, out=size)
    np.multiply(x, x, out=density)
    np.multiply(density, -0.5, out=density)
    np.exp(density, out=density)
    np.multiply(size, p, out=work)
    np.add(work, 1.0, out=tail)
    np.divide(work, tail, out=work)  # u
    np.multiply(work, highest, out=tail)
    for coefficient in others:
        np.add(tail, coefficient, out=tail)
        np.multiply(tail, work, out=tail)
    np.add(tail, 0.5, out=tail)
    np.multiply(tail, density, out=tail)


def gelu(x: Array, y: Array, slope: Array | None, lend: Lend) -> None:
    """Write ``x Phi(x)``, Phi being the normal distribution function, to `y`, and its derivative to `slope`.

    As ``max(x, 0) - |x| Q(|x|)``, in which nothing cancels: at -3 the result is right to within 1e-6 of itself, where
    ``x (1 + erf(x / sqrt(2))) / 2`` is 2e-5 off in single precision. The derivative is ``Phi(x) + x phi(x)``, with
    ``phi(x) = exp(-x^2 / 2) / sqrt(2 pi)``. `y` may be `x` itself. For 102 400 values in single precision both take
    350 us on one core, forward and backward of the form with `tanh` 200.
    """
    for parts in pieces(x, y) if slope is None else pieces(x, y, slope):
        values, out = parts[:2]
        size, density, tail, work = (lend(name, values.shape) for name in ("size", "density", "tail", "work"))
        normal_tail(values, size, density, tail, work)
        if slope is not None:
            local = parts[2]  # 1/2 + sign(x) (1/2 - (Q - |x| phi))
            np.multiply(density, 1.0 / math.sqrt(2.0 * math.pi), out=density)
            np.multiply(density, size, out=density)
            np.subtract(density, tail, out=density)
            np.add(density, 0.5, out=density)
            small = tiny(values.dtype)
            values.clip(-small, small, work)  # as in `leaky_backward`: np.copysign and np.sign take three times as long
            np.multiply(work, 1.0 / small, out=work)
            np.multiply(density, work, out=density)
            np.add(density, 0.5, out=local)
        np.multiply(tail, size, out=tail)
        values.clip(0.0, np.inf, out)
        np.subtract(out, tail, out=out)
