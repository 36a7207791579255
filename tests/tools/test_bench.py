"""What the benchmark compares is equal work: the subjects' results and requests, with no clock looked at."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import processes
from tools.bench import jobs
from tools.bench.cost import batch_of, cost
from tools.bench.run import BATCH_SIZES, CHOICES, SUBJECTS, Process, default, environment
from tools.bench.workload import Workload, make_event


@dataclass
class Bench:
    server: Process
    environment: dict[str, str]

    def requests(self, subject: str, *workloads: Workload) -> list[dict[str, int]]:
        """Have a subject do batches; give the requests of each."""
        found = []
        command = [sys.executable, "-m", "tools.bench.child", SUBJECTS[subject]]
        with Process(command, self.environment) as process:
            self.server.ask(reset=True)
            before: dict[str, int] = {}
            for workload in workloads:
                assert process.ask(**asdict(workload))["failed"] == 0
                counted = self.server.ask()
                found.append({name: n - before.get(name, 0) for name, n in counted.items()})
                before = counted
        return [{name: n for name, n in some.items() if n} for some in found]

    def stored(self, job_id: str) -> dict[str, Any]:
        url = f"{self.environment['AWS_ENDPOINT_URL']}/bench/status/{job_id}-status.json"
        with urllib.request.urlopen(url) as answer:
            status: dict[str, Any] = json.loads(answer.read())
        return status


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Process([sys.executable, "-m", "tools.bench.server"], processes.environment()) as server:
        yield Bench(server, environment(json.loads(server.first), tmp_path))


def test_the_publisher_makes_the_requests_that_it_needs_and_no_more(bench: Bench) -> None:
    messages, redelivery = Workload(40, 10), Workload(40, 10)
    completions = Workload(10, 10, completions=10, name="done")
    assert bench.requests("publisher", messages, redelivery, completions, completions) == [
        {"GET": 10, "PUT": 10},
        {"GET": 10},
        {"GET": 10, "PUT": 20, "POST": 10},
        {"GET": 10},
    ]
    assert len(bench.stored("w-3")["history"]) == 4
    assert bench.stored("done-3")["catalog"]["state"] == "NOTIFIED"


def test_the_loop_floor_makes_the_same_requests(bench: Bench) -> None:
    workloads = Workload(40, 10), Workload(10, 10, completions=10, name="done")
    assert bench.requests("loop floor", *workloads) == bench.requests("publisher", *workloads)


@pytest.mark.parametrize("subject", ["textbook", "async textbook"])
def test_the_textbooks_make_theirs_for_each_message(bench: Bench, subject: str) -> None:
    found = bench.requests(
        subject, Workload(40, 40, name="all"), Workload(10, 10, completions=10, name="done")
    )
    assert found == [{"GET": 40, "PUT": 40}, {"GET": 10, "PUT": 10, "POST": 10}]
    assert bench.stored("done-3")["status"] == "SUCCESS"


def test_the_server_honours_conditions(bench: Bench) -> None:
    def put(body: bytes, **condition: str) -> tuple[int, str]:
        headers = {name.replace("_", "-"): value for name, value in condition.items()}
        url = f"{bench.environment['AWS_ENDPOINT_URL']}/bench/k"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PUT")) as answer:
                return answer.status, answer.headers["ETag"]
        except urllib.error.HTTPError as error:
            return error.code, ""

    created, etag = put(b"1", If_None_Match="*")
    assert created == 200
    assert put(b"2", If_None_Match="*")[0] == 412
    assert put(b"2", If_Match='"other"')[0] == 412
    assert put(b"2", If_Match=etag)[0] == 200
    assert put(b"3", If_Match=etag)[0] == 412


def test_a_workload_is_of_as_many_messages_and_jobs_as_it_says() -> None:
    records = make_event(Workload(1_000, 250))["Records"]
    assert len({record["messageId"] for record in records}) == 1_000
    assert len({json.loads(record["body"])["jobId"] for record in records}) == 250


def test_a_million_messages_one_by_one_cost_what_the_price_list_says() -> None:
    price = cost(batch=1, jobs=1, completions=0, seconds=0.05, memory=512, textbook=False)
    assert price.invocations == pytest.approx(0.20)
    assert price.duration == pytest.approx(0.33, abs=0.005)
    assert price.s3 == pytest.approx(5.40)
    assert price.sqs == pytest.approx(1.20)


def test_a_batch_holds_what_comes_in_its_window_and_no_more_than_it_may() -> None:
    assert [batch_of(rate, most, window) for rate, most, window in ((0.01, 100, 20), (100, 10, 1))] == [1, 10]
    # AND each choice that the benchmark prices is a batch that it measures
    assert {batch_of(*choice) for choice in CHOICES} <= set(BATCH_SIZES)
    # AND the template's own choice is among them
    assert (default("BatchSize"), default("BatchingWindow")) in {choice[1:] for choice in CHOICES}


def test_the_jobs_that_are_timed_are_listed_whole_over_several_pages() -> None:
    with jobs.bucket(1_100, latency=1) as url:
        found = jobs.list_jobs(url, "--failed", "--all")
    assert found.lines == 110
    assert found.memory > 10
