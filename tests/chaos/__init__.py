"""Proves by fault injection that nothing is lost: `python -m tests.chaos --help`."""
