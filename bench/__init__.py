"""The figures of `make bench`; docs/performance.md says what they mean."""
