"""What users read in the morning: one output per item in input order, the failures with their fixes, the report, the manifest.

Everything here reads the ledger and writes files; no state of an item or a batch is ever changed. docs/outputs.md has every file and key.
"""
