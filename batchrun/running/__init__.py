"""Performing what was planned: the only place where pure decisions meet the ledger, the spool and a backend."""
