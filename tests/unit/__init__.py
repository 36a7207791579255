"""Pure rules, one module of `handler/` a file: no network, no process, no clock but one that is given."""
