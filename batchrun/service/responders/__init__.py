"""Who answers the lines of a batch: one file per responder, all held to the contract in `base.py`."""
