"""The mechanism: parameters, layers, graphs and the sharded executor."""
