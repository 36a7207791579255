"""The code of `local/` as developers and operators run it: mostly as processes, against the embedded stack."""
