"""Training and inference times of miniDLF next to PyTorch, JAX and Keras; see README.md in this folder."""
