"""Proof, offline: whether everything that must hold of ledger, spool and outputs does hold. Reads only; nothing is ever repaired here."""
