"""The cases on which the contract suite runs the recurrent layers."""

from __future__ import annotations

from miniDLF.layers.recurrent import GRU, LSTM, RNN
from tests.standalone import Case

CASES: list[Case] = [
    case
    for layer in (RNN, LSTM, GRU)
    for case in (
        Case(lambda layer=layer: layer(6), (5, 3)),
        Case(lambda layer=layer: layer(4), (1, 2), note="one step"),
        Case(lambda layer=layer: layer(64), (2, 3), note="column blocks"),
        Case(lambda layer=layer: layer(5, output_units=2), (4, 3)),
        Case(lambda layer=layer: layer(5, output_units=0), (4, 3), note="no projection"),
        Case(lambda layer=layer: layer(5, return_sequences=False), (4, 3), note="the last step"),
        Case(lambda layer=layer: layer(5, output_units=0, return_sequences=False), (4, 3)),
    )
]
CASES.append(Case(lambda: LSTM(3, forget_bias=0.0), (4, 2)))
