"""Programs: recorded once with symbolic tensors, improved by passes, planned on fixed buffers, run by threads."""
