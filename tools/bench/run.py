"""Runs the comparison, prints one table, writes JSON and a plot."""

import argparse
import itertools
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from local.packaging.artifact import build, find_python
from tests import processes
from tests.deploy.translated import TEMPLATE
from tests.runtime.emulator import LambdaRuntime, runtime_client
from tools.bench import jobs
from tools.bench.cost import batch_of, cost
from tools.bench.workload import Workload, make_event

ROOT = Path(__file__).resolve().parents[2]

NO_LATENCY = {"GET": 0.0, "PUT": 0.0, "POST": 0.0}
REALISTIC = {"GET": 0.015, "PUT": 0.025, "POST": 0.080}  # seconds
CHAIN = REALISTIC["GET"] + 2 * REALISTIC["PUT"] + REALISTIC["POST"]  # of a completion

SUBJECTS = {
    "publisher": "handler.app.lambda_handler",
    "textbook": "tools.bench.textbook.lambda_handler",
    "async textbook": "tools.bench.textbook.async_lambda_handler",
    "loop floor": "tools.bench.floor.lambda_handler",
    "bare": "tools.bench.bare.lambda_handler",
}
BATCHES = {
    "10 completions of 10 jobs": Workload(10, 10, completions=10),
    "100 messages of 100 jobs": Workload(100, 100),
    "1,000 messages of 250 jobs": Workload(1_000, 250),
}
MEMORY = (256, 512, 1024, 1536, 1769)  # MB; 1,769 are one vCPU
FULL_VCPU = 1_769  # https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
BATCH_SIZES = (1, 5, 10, 20, 100, 500, 1_000)
TEXTBOOK_BATCH_SIZES = (1, 10, 100)  # 1,000 would take two minutes, at the same for each message
# Messages a second, BatchSize and BatchingWindow (seconds); each amounts to a batch of BATCH_SIZES.
CHOICES = (
    *((1, 100, window) for window in (1, 5, 20)),
    (1, 10, 20),
    *((100, size, 1) for size in (10, 100)),
    *((100, 1_000, window) for window in (5, 20)),
)

_names = itertools.count()

Row = tuple[str, str, str, str]


def say(text: str) -> None:
    """Show progress."""
    print(text, file=sys.stderr, flush=True)


class Process:
    """A process that takes a JSON command a line, and answers with one."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._process = processes.start(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.pid = self._process.pid
        self.first = self._line()

    def ask(self, **command: Any) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended")
        return line

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its input, which ends it


@dataclass
class Stage:
    """The servers, the artifact, and Python to run it."""

    server: Process
    artifact: Path
    python: str
    environment: dict[str, str]
    results: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def subject(self, name: str) -> Process:
        """Start a subject in a process of its own."""
        command = [self.python, "-s", "-W", "ignore", "-m", "tools.bench.child", SUBJECTS[name]]
        return Process(command, self.environment)

    def run(self, subject: Process, workload: Workload) -> dict[str, Any]:
        """Have it do a batch of new jobs; each of its messages has to succeed."""
        found = subject.ask(**asdict(workload) | {"name": f"{workload.name}{next(_names)}"})
        assert found["failed"] == 0, found
        return found

    def report(self, what: str, measured: str, target: str, *, reached: bool | None = None) -> None:
        """Add a row to the table."""
        verdict = "" if reached is None else "yes" if reached else "no"
        self.rows.append((what, measured, target, verdict))
        say(f"    {what}: {measured}" + (f" (target {target}: {verdict})" if target else ""))


def batch_latency(stage: Stage, repeats: int) -> None:
    """Time batches under realistic latencies."""
    stage.server.ask(latency=REALISTIC)
    for name, workload in BATCHES.items():
        seconds: dict[str, list[float]] = {}
        with ExitStack() as stack:
            subjects = {n: stack.enter_context(stage.subject(n)) for n in SUBJECTS if n != "bare"}
            for subject in subjects.values():
                stage.run(subject, Workload(40, 40, completions=40))  # warm: connections, imports
            for turn in range(repeats):
                for n, subject in subjects.items():
                    slow = n == "textbook" and workload.messages > 100
                    if turn and slow:
                        continue  # once is 40 s, and its ratio is far from the target
                    stage.server.ask(reset=True)
                    seconds.setdefault(n, []).append(stage.run(subject, workload)["wall"])
        medians = {n: statistics.median(some) for n, some in seconds.items()}
        stage.results[name] = medians
        stage.report(name, " / ".join(f"{n} {1000 * s:,.0f} ms" for n, s in medians.items()), "")
        for what, measured, target, reached in latency_verdicts(name, medians):
            stage.report(f"... {what}", measured, target, reached=reached)


def latency_verdicts(name: str, medians: Mapping[str, float]) -> list[tuple[str, str, str, bool]]:
    """Compare a batch's latency with what it should be.

    Args:
        name: the batch's, of BATCHES.
        medians: seconds, by subject.

    Returns:
        What was compared, measured and wanted, and whether it was reached.
    """
    ours, workload = medians["publisher"], BATCHES[name]
    over_chain, over_floor = ours / CHAIN, ours / medians["loop floor"]
    faster, wanted = medians["textbook"] / ours, {10: 7, 100: 12, 1_000: 30}[workload.messages]
    chain = ("over one job's own chain of requests", f"{over_chain:.2f} x", "<= 1.25 x", over_chain <= 1.25)
    return [chain] * bool(workload.completions) + [
        ("faster than textbook", f"{faster:.1f} x", f">= {wanted} x", faster >= wanted),
        ("over the loop floor", f"{over_floor:.2f} x", "<= 1.15 x", over_floor <= 1.15),
    ]


def contention(stage: Stage, repeats: int) -> None:
    """Have two instances work on the same jobs at once."""
    stage.server.ask(latency=REALISTIC)
    medians = {}
    for name in ("publisher", "textbook"):
        with stage.subject(name) as one, stage.subject(name) as other:
            for subject in (one, other):
                stage.run(subject, Workload(40, 40))
            walls = []
            for _ in range(repeats):
                stage.server.ask(reset=True)
                jobs = f"both{next(_names)}"
                threads = [
                    threading.Thread(
                        target=subject.ask, kwargs=asdict(Workload(20, 10, name=jobs, first=first))
                    )
                    for first, subject in ((0, one), (20, other))
                ]
                began = time.perf_counter()
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                walls.append(time.perf_counter() - began)
            medians[name] = statistics.median(walls)
    stage.results["contention"] = medians
    ratio = medians["publisher"] / medians["textbook"]
    stage.report(
        "two instances, the same 10 jobs: over unprotected textbook",
        f"{ratio:.2f} x",
        "<= 1 x",
        reached=ratio <= 1,
    )


def overhead(stage: Stage, repeats: int) -> None:
    """Take the CPU of our code: what is over the loop floor's, without latencies."""
    stage.server.ask(latency=NO_LATENCY)
    found: dict[int, float] = {}
    with stage.subject("publisher") as ours, stage.subject("loop floor") as floor:
        for subject in (ours, floor):
            stage.run(subject, Workload(400, 100))
        for messages in (10, 100, 1_000, 10_000):
            workload = Workload(messages, max(1, messages // 4))
            some = {"ours": list[float](), "floor": list[float]()}
            for _ in range(max(3, min(repeats * 5, 4_000 // messages))):
                stage.server.ask(reset=True)
                some["ours"].append(stage.run(ours, workload)["cpu"])
                some["floor"].append(stage.run(floor, workload)["cpu"])
            found[messages] = (statistics.median(some["ours"]) - statistics.median(some["floor"])) / messages
        # A history of 250 entries against one of 2, in the same number of requests.
        costs = {}
        for entries in (2, 250):
            times = []
            for _ in range(repeats * 2):
                stage.server.ask(reset=True)
                name = f"h{next(_names)}"
                ours.ask(**asdict(Workload(entries * 20, 20, name=name)))
                again = Workload(20, 20, name=name, first=entries * 20)
                times.append(ours.ask(**asdict(again))["cpu"] / 20)
            costs[entries] = statistics.median(times)
    for messages, seconds in found.items():
        stage.report(
            f"CPU over the floor, {messages:,} messages, four a job",
            f"{seconds * 1e6:.0f} us a message",
            "<= 100 us",
            reached=seconds <= 100e-6,
        )
    entry = (costs[250] - costs[2]) / 248
    stage.report("CPU of an entry of history", f"{entry * 1e6:.1f} us", "<= 10 us", reached=entry <= 10e-6)
    stage.results["overhead"] = {"a message": found, "an entry": entry}


def memory(stage: Stage) -> None:
    """Take the largest resident set for 10,000 messages."""
    stage.server.ask(latency=NO_LATENCY, reset=True)
    with stage.subject("publisher") as ours, stage.subject("bare") as bare:
        workload = Workload(10_000, 2_500)
        ours_rss, bare_rss = stage.run(ours, workload)["rss"], bare.ask(**asdict(Workload(1, 1)))["rss"]
    stage.results["memory"] = {"publisher": ours_rss, "bare": bare_rss}
    over = ours_rss - bare_rss
    stage.report(
        "peak memory over bare's, a batch of 10,000 messages",
        f"{over:.0f} MB ({ours_rss:.0f} MB)",
        "<= 40 MB",
        reached=over <= 40,
    )


def cold_start(stage: Stage, repeats: int, scratch: Path) -> None:
    """Start under AWS's runtime interface emulator, from the built artifact, and invoke once.

    The first start of each, which also compiles what the artifact does not hold, is not counted.
    """
    stage.server.ask(latency=NO_LATENCY, reset=True)
    client = scratch / "client"
    client.mkdir()
    python, environment = runtime_client(client)
    (stage.artifact / "bare.py").write_text((Path(__file__).parent / "bare.py").read_text())
    processes.run(
        [python, "-m", "compileall", "-q", "--invalidation-mode=unchecked-hash", "bare.py"],
        cwd=stage.artifact,
        check=True,
    )
    environment["PYTHONPATH"] = str(client)
    environment = stage.environment | environment
    seconds: dict[str, list[float]] = {"publisher": [], "bare": []}
    for _ in range(repeats * 2 + 1):
        for name, handler in (("bare", "bare.lambda_handler"), ("publisher", SUBJECTS["publisher"])):
            event = make_event(Workload(1, 1, name=f"cold{next(_names)}"))
            with LambdaRuntime(stage.artifact, environment, scratch, python, handler=handler) as function:
                began = time.perf_counter()
                assert function.invoke(event) == {"batchItemFailures": []}
                took = time.perf_counter() - began
            seconds[name].append(took)
    (stage.artifact / "bare.py").unlink()
    medians = {name: statistics.median(some[1:]) for name, some in seconds.items()}
    stage.results["cold start"] = medians
    ratio = medians["publisher"] / medians["bare"]
    stage.report(
        "cold start and first batch over bare's start",
        f"{ratio:.2f} x ({1000 * medians['publisher']:.0f} against {1000 * medians['bare']:.0f} ms)",
        "<= 1.10 x",
        reached=ratio <= 1.10,
    )


@contextmanager
def quota(pid: int, share: float, period: float = 0.02) -> Iterator[None]:
    """Give a process a share of one CPU: stopped when it has used it up, until the next period.

    As Linux' own quota has it (https://docs.kernel.org/scheduler/sched-bwc.html), which is what Lambda's
    share is; what it took too much in a period is taken from the next.
    """
    if share >= 1:
        yield
        return
    clock = (~pid << 3) | 2  # of a whole process: clock_getcpuclockid(3)
    over = threading.Event()

    def hold() -> None:
        allowed = time.clock_gettime(clock)
        while not over.is_set():
            used = time.clock_gettime(clock)
            allowed = min(allowed, used) + period * share
            end = time.monotonic() + period
            if used < allowed:
                os.kill(pid, signal.SIGCONT)
            while (left := end - time.monotonic()) > 0:
                if time.clock_gettime(clock) >= allowed:
                    os.kill(pid, signal.SIGSTOP)
                    time.sleep(left)
                else:
                    time.sleep(min(left, 0.0005))
        os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def memory_sizes(stage: Stage, repeats: int) -> None:
    """Find the smallest memory size whose share of a CPU keeps the batches' latency."""
    stage.server.ask(latency=REALISTIC)
    found: dict[int, dict[str, dict[str, float]]] = {}
    with ExitStack() as stack:
        subjects = {n: stack.enter_context(stage.subject(n)) for n in ("publisher", "textbook", "loop floor")}
        for subject in subjects.values():
            stage.run(subject, Workload(40, 40, completions=40))
        for size in MEMORY:
            found[size] = {}
            for name, workload in ({"1 message": Workload(1, 1)} | BATCHES).items():
                found[size][name] = {}
                for who, subject in subjects.items():
                    slow = who == "textbook" and workload.messages > 100
                    with quota(subject.pid, size / FULL_VCPU):
                        found[size][name][who] = statistics.median(
                            stage.run(subject, workload)["wall"] for _ in range(1 if slow else repeats)
                        )
    stage.results["memory sizes"] = found
    for size, batches in found.items():
        verdicts = [verdict for name in BATCHES for verdict in latency_verdicts(name, batches[name])]
        times = " / ".join(f"{1000 * batch['publisher']:,.0f}" for batch in batches.values())
        ratios = {
            what: " / ".join(found for same, found, *_ in verdicts if same == what) for what, *_ in verdicts
        }
        stage.report(
            f"{size:,} MB ({size / FULL_VCPU:.2f} vCPU): 1 message, and the three batches above",
            f"{times} ms; " + "; ".join(f"{what} {found}" for what, found in ratios.items()),
            "all of the above",
            reached=all(reached for *_, reached in verdicts),
        )


def costs(stage: Stage, memory_size: int, repeats: int) -> None:
    """Price a million messages, a quarter of which finish a job, at one memory size."""
    stage.server.ask(latency=REALISTIC)
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for name, sizes in (("publisher", BATCH_SIZES), ("textbook", TEXTBOOK_BATCH_SIZES)):
        with stage.subject(name) as subject:
            stage.run(subject, Workload(40, 40, completions=40))
            for size in sizes:
                # Of one message, three of four batches finish nothing.
                kinds = [Workload(1, 1)] * 3 + [Workload(1, 1, completions=1)]
                if size > 1:
                    kinds = [Workload(size, size, completions=round(size / 4))]
                turns = range(1 if name == "textbook" and size > 10 else repeats)
                with quota(subject.pid, memory_size / FULL_VCPU):
                    seconds = statistics.mean(
                        statistics.median(stage.run(subject, workload)["wall"] for _ in turns)
                        for workload in kinds
                    )
                price = cost(size, size, size / 4, seconds, memory_size, textbook=name == "textbook")
                rows[name, size] = {
                    "who": name,
                    "batch": size,
                    "seconds": seconds,
                    "total": price.total,
                } | asdict(price)
                stage.report(
                    f"a million messages, {name}, batches of {size:,}, {memory_size:,} MB",
                    f"{price.total:.2f} USD (Lambda {price.invocations + price.duration:.2f},"
                    f" S3 {price.s3:.2f}, SQS {price.sqs:.2f}); {1000 * seconds:,.0f} ms a batch",
                    "",
                )
    for rate, most, window in CHOICES:
        size = batch_of(rate, most, window)
        row = rows["publisher", size]
        defaults = (most, window) == (default("BatchSize"), default("BatchingWindow"))
        stage.report(
            f"{rate} messages a second, batch size {most:,}, window {window} s"
            + (" (the defaults)" if defaults else ""),
            f"batches of {size:,}: {row['total']:.2f} USD a million,"
            f" {window + row['seconds']:.1f} s from sent to written at the most",
            "",
        )
    stage.results["cost"] = list(rows.values())


def default(parameter: str) -> int:
    """Give the template's default of a parameter."""
    return int(TEMPLATE["Parameters"][parameter]["Default"])


def operators_jobs(stage: Stage) -> None:
    """List an operator's jobs: those that failed, which all have to be read for; and the newest few."""
    with jobs.bucket(jobs.OBJECTS, jobs.LATENCY) as url:
        failed, few = jobs.list_jobs(url, "--failed", "--all"), jobs.list_jobs(url)
    assert (failed.lines, few.lines) == (jobs.OBJECTS // 10, 50)
    stage.results["jobs"] = {"failed": asdict(failed), "newest": asdict(few)}
    stage.report(
        f"oam-status jobs --failed, {jobs.OBJECTS:,} objects, {jobs.LATENCY} ms a GET",
        f"{failed.seconds:.1f} s",
        f"<= {jobs.LONGEST} s",
        reached=failed.seconds <= jobs.LONGEST,
    )
    over = failed.memory - few.memory
    stage.report(
        "... its peak memory over that of the newest 50, which alone are read",
        f"{over:.0f} MB ({failed.memory:.0f} MB; the 50 in {few.seconds:.1f} s)",
        "<= 40 MB",
        reached=over <= 40,
    )


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw latency and cost against batch size."""
    import matplotlib as mpl  # noqa: PLC0415 (slow, and for this alone)

    mpl.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415 (late, as above)

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    for who, style in (("publisher", "o-"), ("textbook", "s--")):
        rows = [row for row in results["cost"] if row["who"] == who]
        sizes = [row["batch"] for row in rows]
        left.plot(sizes, [row["seconds"] for row in rows], style, label=who)
        right.plot(sizes, [row["total"] for row in rows], style, label=who)
    left.set(
        xscale="log", yscale="log", xlabel="messages of a batch", ylabel="seconds a batch", title="Latency"
    )
    right.set(
        xscale="log",
        xlabel="messages of a batch",
        ylabel="USD a million messages",
        title="Cost",
        ylim=(0, None),
    )
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def machine() -> str:
    """Name what this runs on."""
    model = next(
        (
            line.partition(": ")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores of {model}, {platform.system()}"


def as_table(rows: list[Row]) -> str:
    """Lay out the table as Markdown."""
    head = ["| what | measured | target | reached |", "|---|---|---|---|"]
    return "\n".join(head + ["| " + " | ".join(row) + " |" for row in rows])


def main() -> int:
    """Run.

    Returns:
        The exit code: 0, whatever was reached.
    """
    parts: dict[str, Callable[[Stage], None]] = {
        "latency": lambda stage: batch_latency(stage, arguments.repeats),
        "contention": lambda stage: contention(stage, arguments.repeats),
        "overhead": lambda stage: overhead(stage, arguments.repeats),
        "memory": memory,
        "cold": lambda stage: cold_start(stage, arguments.repeats, scratch),
        "sizes": lambda stage: memory_sizes(stage, arguments.repeats),
        "jobs": operators_jobs,
        "cost": lambda stage: costs(stage, arguments.memory, arguments.repeats),
    }
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="of each batch; medians count (default: 5)")
    parser.add_argument(
        "--memory",
        type=int,
        default=default("MemorySize"),
        help="MB, for the cost (default: the template's, %(default)s)",
    )
    parser.add_argument("--only", choices=parts, action="append", help="a part of it; may be repeated")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="(default: %(default)s)")
    parser.add_argument("--plot", type=Path, help="write the plot there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        say("Building the artifact ...")
        build(scratch / "artifact")
        with Process([sys.executable, "-m", "tools.bench.server"], processes.environment()) as server:
            urls = json.loads(server.first)
            stage = Stage(
                server, scratch / "artifact", find_python() or sys.executable, environment(urls, scratch)
            )
            for name, part in parts.items():
                if not arguments.only or name in arguments.only:
                    say(f"{name} ...")
                    part(stage)
    print(
        f"{machine()}; {platform.python_implementation()} of {stage.python}; medians of {arguments.repeats}\n"
    )
    print(as_table(stage.rows))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(
        json.dumps({"machine": machine(), "results": stage.results, "table": stage.rows}, indent=1) + "\n"
    )
    if arguments.plot:
        plot(stage.results, arguments.plot)
    return 0


def environment(urls: dict[str, str], scratch: Path) -> dict[str, str]:
    """Give the subjects' whole environment: the artifact, and nothing else that is installed."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{scratch / 'artifact'}:{ROOT}",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_ENDPOINT_URL": urls["s3"],
        "NO_PROXY": "127.0.0.1",
        "OAM_STATUS_BUCKET": "bench",
        "OAM_STATUS_PREFIX": "status",
        "OAM_CATALOG_URL": urls["catalog"],
        "OAM_API_TOKEN": "bench-token",
    }
