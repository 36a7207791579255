"""The documents against the code: the commands, formats, settings and examples in them."""
