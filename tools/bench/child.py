"""One subject in a process of its own: `python -m tools.bench.child MODULE.FUNCTION`, a JSON command a line.

Runs from the built artifact (PYTHONPATH), with nothing else installed.
"""

import gc
import importlib
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from tools.bench.workload import Workload, make_event


class Context:
    """As much of Lambda's context as the subjects look at."""

    function_name = "bench"
    function_version = "1"
    memory_limit_in_mb = "512"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:bench"
    aws_request_id = "bench"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


def peak_memory() -> float:
    """Give the largest resident set, in MB; getrusage's begins with that of the process that started this."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the function's log is written, and read by nobody
    module, _, function = sys.argv[1].rpartition(".")
    handler: Any = getattr(importlib.import_module(module), function)
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        event = make_event(Workload(**json.loads(line)))
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        failures = handler(event, Context())["batchItemFailures"]
        found = {
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "failed": len(failures),
            "rss": peak_memory(),
        }
        answers.write(json.dumps(found) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
