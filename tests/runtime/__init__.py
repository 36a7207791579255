"""The handler under AWS's own Lambda runtime: what only the real one shows."""
