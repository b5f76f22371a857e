"""Functions of the user's that a model may call: a Python file, run in a process of its own, between two batches."""
