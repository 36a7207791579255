"""The demo: several jobs through the real handler, and a verdict on what became of them."""
