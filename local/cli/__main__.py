"""`python -m local.cli`: `oam-status` without an installation."""

from local.cli.main import main

main()
