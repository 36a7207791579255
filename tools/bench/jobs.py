"""Times `oam-status jobs` over a bucket of many objects, and takes its memory."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests import processes

OBJECTS = 20_000
LATENCY = 20  # milliseconds a GET
LONGEST = 60  # seconds


@dataclass(frozen=True, slots=True)
class Listed:
    """What a run came to.

    Attributes:
        seconds: how long it took, from its start to its end.
        memory: its peak, in MB.
        lines: how many jobs it printed.
    """

    seconds: float
    memory: float
    lines: int


@contextmanager
def bucket(objects: int, latency: float) -> Iterator[str]:
    """Serve a bucket until the context ends; yield its URL."""
    command = [sys.executable, "-m", "tools.bench.bucket", str(objects), str(latency)]
    with processes.start(
        command, env=processes.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout
        yield server.stdout.readline().strip()
        server.communicate()  # closes its input, which ends it


def list_jobs(url: str, *options: str) -> Listed:
    """Have the jobs listed, by a process of its own."""
    variables = {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "OAM_STATUS_BUCKET": "bench",
        "OAM_STATUS_PREFIX": "status",
    }
    began = time.perf_counter()
    done = processes.run(
        [sys.executable, "-m", "tools.bench.desk", "jobs", "--json", *options],
        env=processes.environment(**variables),
        timeout=600,
        check=True,
    )
    seconds = time.perf_counter() - began
    return Listed(seconds, float(done.stderr.rpartition("peak ")[2]), len(done.stdout.splitlines()))
