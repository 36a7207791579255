"""The code of `tools/`: a short chaos run, that chaos can fail, and what the benchmark compares."""
