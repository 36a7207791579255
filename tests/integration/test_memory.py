"""The smallest function that the template allows holds the largest messages and objects that there can be."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from handler.job_status import JobStatus, fold
from handler.messages import parse
from handler.shortening import MAX_OBJECT_BYTES
from handler.status_object import to_json
from tests import processes
from tests.conftest import Aws
from tests.factories import MIB, NOON, body, event, record

ROOT = Path(__file__).parents[2]

INVOKE = """
import json, sys
from types import SimpleNamespace
from handler.deadline import Timeout
Timeout.AWS_READ = 20  # a busy machine's S3 may be late, and that is not what is measured
from handler.app import lambda_handler
context = SimpleNamespace(get_remaining_time_in_millis=lambda: 120_000, aws_request_id="r",
                          function_name="f", memory_limit_in_mb=512,
                          invoked_function_arn="arn:aws:lambda:us-east-1:1:function:f")
failed = lambda_handler(json.load(sys.stdin), context)["batchItemFailures"]
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({"failed": len(failed), "kB": int(status["VmHWM"].split()[0])}), file=sys.stderr)
"""


def megabytes(records: list[dict[str, Any]], environment: dict[str, str]) -> float:
    """Invoke a function of its own with a batch; give its peak memory."""
    done = processes.run(
        [sys.executable, "-c", INVOKE],
        input=json.dumps({"Records": records}),
        env=environment | {"MALLOC_ARENA_MAX": in_template(r'\n +MALLOC_ARENA_MAX: "(\d+)"\n')},
        cwd=ROOT,
        check=True,
    )
    found = json.loads(done.stderr.splitlines()[-1])
    assert found["failed"] == 0
    return float(found["kB"]) / 1024


def in_template(pattern: str) -> str:
    found = re.search(pattern, (ROOT / "template.yaml").read_text())
    assert found
    return found[1]


def smallest() -> int:
    """Give the least memory that the template allows, in MB."""
    return int(in_template(r"\n  MemorySize:\n(?:    .*\n)*?    MinValue: (\d+)\n"))


def nested(job_id: str) -> str:
    """Write a message of 1 MiB, of what takes the most memory when it is read."""
    head = f'{{"jobId":"{job_id}","stage":"chunk","status":"FAILED","x":['
    return head + "[[]]," * ((MIB - len(head) - 3) // 5) + "0]}"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its peak memory as Linux gives it")
def test_a_batch_of_the_largest_messages_of_a_job_of_them_fits(aws: Aws, environment: dict[str, str]) -> None:
    # GIVEN an object as full of them as it gets, and six of them: Lambda takes 6 MB a batch
    known = [parse(f"m{number}", str(NOON + number), nested("j")).event for number in range(3)]
    aws.put("status/j-status.json", to_json("j", fold(JobStatus(), known)))
    records = [record(nested("j"), 100 + number) for number in range(6)]
    assert megabytes(records, environment) < 0.9 * smallest()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its peak memory as Linux gives it")
def test_a_batch_of_messages_of_40_jobs_with_the_largest_objects_fits(
    aws: Aws, environment: dict[str, str]
) -> None:
    known = [event("chunk", "FAILED", number, error="x" * 30_000) for number in range(135)]
    full = to_json("j", fold(JobStatus(), known))
    assert MAX_OBJECT_BYTES * 0.95 < len(full) < MAX_OBJECT_BYTES
    for number in range(40):
        aws.put(f"status/job-{number}-status.json", full)
    images = ["http://images.example.org/" + "x" * 30] * 1_500
    records = [
        record(body("mosaic", "FINISHED", f"job-{number}", images=images), 999) for number in range(40)
    ]
    assert megabytes(records, environment) < 0.9 * smallest()
