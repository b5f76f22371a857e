"""Where batches are sent: one file per backend, all held to the contract in `base.py`."""
