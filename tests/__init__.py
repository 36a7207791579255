"""The tests: each folder says its scope in its own docstring; processes start through `tests.processes`."""
