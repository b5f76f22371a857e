"""What batchrun remembers: states, the SQLite ledger, the spool of files sent and received, and the lock around a pass."""
