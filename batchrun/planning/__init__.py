"""Deciding: classification, causes, policy and plan. Pure: no I/O, no clock, no randomness."""
