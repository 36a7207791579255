"""What the server of tests/forks.py loads before it forks: the commands, and what each of them would make anew.

Not a program's own module: runpy warns of one that is loaded already.
"""

import gc

import boto3

import local.cli.main
import local.demo.run
import local.stack.aws_server  # noqa: F401 (it is for the processes that are forked)
from tests.models import read_models_once

read_models_once()
for _service in ("s3", "sqs"):
    # A session of its own: the default one would keep this process's environment.
    boto3.session.Session().client(_service, region_name="us-east-1")
gc.collect()
gc.freeze()  # or each process looks through all of it, and so copies it
