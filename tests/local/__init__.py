"""The code of `local/` as developers and operators run it: as processes, against the embedded stack."""
