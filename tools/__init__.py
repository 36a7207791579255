"""The two harnesses: chaos (fault injection) and bench (measurements)."""
