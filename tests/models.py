"""What takes long to read and is the same each time is read once a process, however many sessions it has."""

import functools

import botocore.session


def read_models_once() -> None:
    """Have botocore's sessions share what they read of each service: it takes a tenth of a second."""
    botocore.session.create_loader = functools.cache(botocore.session.create_loader)
