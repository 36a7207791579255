"""Proves by fault injection that nothing is lost: `python -m tools.chaos --help`."""
