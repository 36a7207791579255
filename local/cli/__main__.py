"""`python -m local.cli`: `oam-status`, which is quiet on Ctrl-C while it is still being loaded, too."""

import sys


def main() -> None:
    """Load the commands, and run the one that the command line names."""
    try:
        from local.cli.main import main as run  # noqa: PLC0415 (it takes some tenths of a second)
    except KeyboardInterrupt:
        sys.exit(1)
    run()


if __name__ == "__main__":
    main()
