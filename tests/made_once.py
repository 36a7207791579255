"""What takes long to make and is the same each time: made once a process, however many sessions and servers it has."""

import functools

import botocore.session

from local.stack import aws_server


def make_once() -> None:
    """Have botocore read each service's model once, and moto's servers share the application of a service.

    Either takes a tenth of a second. What moto keeps, it keeps for the whole process anyway.
    """
    botocore.session.create_loader = functools.cache(botocore.session.create_loader)
    aws_server.create_backend_app = functools.cache(aws_server.create_backend_app)  # type: ignore[attr-defined]
