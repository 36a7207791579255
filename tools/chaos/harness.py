"""The harness: runs a schedule against real handler processes, then has it judged."""

import argparse
import asyncio
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests import processes
from tools.chaos.aws import API, BEFORE, S3, SQS, s3_fault, sqs_fault
from tools.chaos.catalog import Catalog, catalog_fault
from tools.chaos.judge import Finding, judge
from tools.chaos.proxy import Fate, Plan, Proxy, Request, Response
from tools.chaos.report import as_json, as_text, write_journal
from tools.chaos.schedule import PROFILES, RATES, SABOTAGE, WEIGHTS, Message, Schedule, draw

ROOT = Path(__file__).resolve().parents[2]

BUCKET = "oam-status"
PREFIX = "chaos/status"

# A visibility timeout's second takes this many real ones: the queue's 420 seconds are 2.4.
SCALE = 2.4 / 420
DRAIN_SCALE = 0.6 / 420  # once the trouble is over
VISIBILITY = 420  # seconds: as in template.yaml
TWICE = 0.03  # the share of receives after which a message stays visible
SLOW = 0.2  # the share of messages that are not to be seen at once

_DRAIN = 90.0  # seconds, at the most, for all that is left to be dealt with
_STOP = 10.0  # seconds for a worker to end its batch

Progress = Callable[[str], None]


@dataclass
class Run:
    """A run, and what it left behind.

    Attributes:
        kills: when (in seconds of the run), whom and why.
        crashed: the workers that ended by themselves, and how.
        stuck: what did not come to its end in time.
        lags: when this process itself was late, and by how much: its answers came late, too.
        logs: what the workers wrote, by worker.
    """

    schedule: Schedule
    sabotage: str | None
    directory: Path
    token: str
    s3: S3
    sqs: SQS
    catalog: Catalog
    proxy: Proxy
    kills: list[tuple[float, int, str]] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    lags: list[tuple[float, float]] = field(default_factory=list)
    thefts: list[str] = field(default_factory=list)
    logs: dict[int, str] = field(default_factory=dict)
    redriven: int = 0
    seconds: float = 0.0
    trouble_over: float = 0.0
    limits: Counter[str] = field(default_factory=Counter)
    repeats: Counter[str] = field(default_factory=Counter)


class Nursery:
    """The process that forks and kills the workers."""

    def __init__(self, sabotage: str | None) -> None:
        self._sabotage = sabotage
        self._lock = asyncio.Lock()

    async def start(self, log: Path) -> dict[str, Any]:
        environment = processes.environment(PYTHONDONTWRITEBYTECODE="1", HOME=str(log.parent)) | (
            {SABOTAGE: self._sabotage} if self._sabotage else {}
        )
        self.process = await processes.start_for_asyncio(
            [sys.executable, "-m", "tools.chaos.worker"],
            cwd=log.parent,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log.open("ab"),
        )
        return await self._line()

    async def tell(self, **command: Any) -> dict[str, Any]:
        async with self._lock:
            assert self.process.stdin
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            await self.process.stdin.drain()
            return await self._line()

    async def _line(self) -> dict[str, Any]:
        assert self.process.stdout
        line = await asyncio.wait_for(self.process.stdout.readline(), 30)
        if not line:
            raise RuntimeError("the nursery ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def end(self) -> None:
        """Let it end, and its workers with it."""
        if self.process.stdin:
            self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), 10)
        except TimeoutError:
            self.process.kill()


class Stage:
    """Carries a schedule out."""

    def __init__(self, schedule: Schedule, sabotage: str | None, directory: Path, progress: Progress) -> None:
        self._begun = time.monotonic()
        self._progress = progress
        self._thief = ""
        token = f"chaos-token-{secrets.token_hex(12)}"
        profile = schedule.profile
        seed = f"{schedule.seed}/{profile.name}"
        s3 = S3(BUCKET, self.clock)
        sqs = SQS(
            seed,
            self.clock,
            scale=SCALE,
            visibility=VISIBILITY,
            max_receives=profile.max_receives,
            twice=TWICE,
            slow=SLOW,
        )
        catalog = Catalog(token, self.clock)
        rates = {service: rate * profile.fault_rate for service, rate in RATES.items()}
        proxy = Proxy(
            Plan(seed, rates, WEIGHTS),
            {"s3": s3.answer, "sqs": sqs.answer, "catalog": catalog.answer, "thief": self._steal},
            self.clock,
            self._kill,
            self._overwrite,
            self._error,
        )
        proxy.token = token
        self.run = Run(schedule, sabotage, directory, token, s3, sqs, catalog, proxy)
        self._nursery = Nursery(sabotage)
        self._environments: dict[int, dict[str, str]] = {}
        self._alive: set[int] = set()
        self._held_down = False  # whether the function as a whole is gone
        self._overwritten: Counter[str] = Counter()
        self._restarts: set[asyncio.Task[None]] = set()
        self._restarted = 0
        self._peace = False

    def clock(self) -> float:
        """Give the seconds since the run began."""
        return time.monotonic() - self._begun

    # --- What the proxy asks for

    async def _steal(self, request: Request) -> Response:
        self.run.thefts.append(f"{request.method} {request.path} {request.headers.get('authorization', '')}")
        return Response(200, b"{}")

    async def _kill(self, number: int, why: str) -> None:
        if number not in self._alive or self._peace:
            return
        self._alive.discard(number)
        await self._nursery.tell(do="kill", worker=number)
        self.run.kills.append((self.clock(), number, why))  # what it asked until now, it asked
        self.run.proxy.cut_worker(number)
        if why != "function outage":
            delays = self.run.schedule.restart_delays
            self._restarted += 1
            self._keep(self._start_later(number, delays[self._restarted % len(delays)]))

    def _overwrite(self, request: Request) -> bool:
        """Let the API write over an object, if it is one of those that it writes over."""
        key = request.path.removeprefix(f"/{BUCKET}/")
        job_id = key.removeprefix(f"{PREFIX}/").removesuffix("-status.json")
        job = self.run.schedule.jobs.get(job_id)
        if job is None or not job.overwritten or self._overwritten[job_id] >= 3:
            return False
        self._api_writes(job_id)
        return True

    def _error(self, request: Request, fate: Fate) -> Response:
        if request.service == "s3":
            return s3_fault(request, fate)
        if request.service == "sqs":
            return sqs_fault(request, fate)
        return catalog_fault(self._thief)(request, fate)

    # --- What the schedule asks for

    def _api_writes(self, job_id: str) -> None:
        self._overwritten[job_id] += 1
        body = json.dumps({"jobId": job_id, "status": "PENDING", "stage": "PENDING"}).encode()
        self.run.s3.put(f"{PREFIX}/{job_id}-status.json", body, API)

    def _keep(self, todo: "Awaitable[None]") -> None:
        task = asyncio.ensure_future(todo)
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    async def _start(self, number: int) -> None:
        if number in self._alive or self._held_down:
            return
        self._alive.add(number)
        await self._nursery.tell(
            do="start",
            worker=number,
            log=str((self.run.directory / f"worker-{number}.log").resolve()),  # the nursery is elsewhere
            environment=self._environments[number],
            queue_url=self._environments[number]["OAM_STATUS_SQS_QUEUE_URL"],
            batch_size=self.run.schedule.batch_sizes[number],
        )

    async def _start_later(self, number: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._start(number)

    async def _kill_at_random(self, number: int, down: float) -> None:
        if number in self._alive:
            await self._kill(number, "at random")
            self._keep(self._start_later(number, down))

    async def _function_outage(self, seconds: float) -> None:
        self._progress(f"the function is gone for {seconds:.1f} s")
        self._held_down = True
        self.run.proxy.faults["outage: function"] += 1
        for number in range(self.run.schedule.profile.workers):
            await self._kill(number, "function outage")
        await asyncio.sleep(seconds)
        self._held_down = False
        for number in range(self.run.schedule.profile.workers):
            await self._start(number)

    def _redrive(self) -> None:
        moved = self.run.sqs.redrive(1_000_000)
        self.run.redriven += moved
        self._progress(f"redrive of {moved} dead letters")

    def _timeline(self) -> list[tuple[float, Callable[[], Awaitable[None] | None]]]:
        schedule, sqs, proxy = self.run.schedule, self.run.sqs, self.run.proxy

        def send(message: Message) -> None:
            sqs.send(message.body, message.number, unlucky=message.unlucky)

        found: list[tuple[float, Callable[[], Awaitable[None] | None]]] = [
            (schedule.redrive_at, self._redrive),
            *((message.at, partial(send, message)) for message in schedule.messages),
            *(
                (at, partial(self._api_writes, job.job_id))
                for job in schedule.jobs.values()
                for at in job.overwritten
            ),
            *((at, partial(self._kill_at_random, number, down)) for at, number, down in schedule.kills),
            *(
                (at, partial(self._keep_function_outage, seconds))
                for at, seconds in schedule.function_outages
            ),
            *((outage.start, partial(proxy.begin, outage)) for outage in schedule.outages),
            *((outage.end, partial(proxy.end, outage.service)) for outage in schedule.outages),
        ]
        return sorted(found, key=lambda item: item[0])

    def _keep_function_outage(self, seconds: float) -> None:
        self._keep(self._function_outage(seconds))

    # --- The run

    async def perform(self) -> Run:
        run = self.run
        await self._nursery.start(run.directory / "nursery.log")
        watch = asyncio.ensure_future(self._watch())
        try:
            await self._set_up()
            offset = self.clock() + 0.5
            for at, action in self._timeline():
                await asyncio.sleep(max(0.0, at + offset - self.clock()))
                done = action()
                if done is not None:
                    await done
            await asyncio.sleep(max(0.0, run.schedule.profile.seconds + offset - self.clock()))
            await self._make_peace()
            await self._drain("the queue")
            self._redrive()
            await self._drain("the redriven dead letters")
            await self._stop()
        finally:
            watch.cancel()
            for task in list(self._restarts):
                task.cancel()
            await self._nursery.end()
            await run.proxy.close()
        run.seconds = self.clock()
        for path in sorted(run.directory.glob("worker-*.log")):
            run.logs[int(path.stem.partition("-")[2])] = path.read_text(errors="replace")
        return run

    async def _set_up(self) -> None:
        run = self.run
        self._thief = await run.proxy.listen(-1, "thief")
        for job in run.schedule.jobs.values():
            if job.before is not None:
                run.s3.put(f"{PREFIX}/{job.job_id}-status.json", job.before, BEFORE)
        for number in range(run.schedule.profile.workers):
            urls = {service: await run.proxy.listen(number, service) for service in ("s3", "sqs", "catalog")}
            self._environments[number] = {
                "AWS_ACCESS_KEY_ID": "chaos",
                "AWS_SECRET_ACCESS_KEY": "chaos",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_ENDPOINT_URL": urls["sqs"],
                "AWS_ENDPOINT_URL_S3": urls["s3"],
                "AWS_ENDPOINT_URL_SQS": urls["sqs"],
                "NO_PROXY": "127.0.0.1",
                "OAM_STATUS_SQS_QUEUE_URL": urls["sqs"] + run.sqs.url_path,
                "OAM_STATUS_BUCKET": BUCKET,
                "OAM_STATUS_PREFIX": f"/{PREFIX}//",
                "OAM_CATALOG_URL": urls["catalog"] + "/base/",
                "OAM_API_TOKEN": run.token,
                "DEBUG": "oam:*",
            }
            await self._start(number)

    async def _make_peace(self) -> None:
        """End the trouble: no faults, no kills, all workers there."""
        run = self.run
        self._peace = True
        run.proxy.plan.quiet = True
        for service in list(run.proxy.outages):
            await run.proxy.end(service)
        await asyncio.gather(*self._restarts, return_exceptions=True)
        self._held_down = False
        for number in range(run.schedule.profile.workers):
            await self._start(number)
        run.sqs.scale = DRAIN_SCALE
        run.sqs.twice = run.sqs.slow = 0.0
        run.trouble_over = self.clock()
        self._progress(f"the trouble is over, {run.sqs.waiting} messages are left")

    async def _drain(self, what: str) -> None:
        end = self.clock() + _DRAIN
        while self.run.sqs.waiting and self.clock() < end:
            await asyncio.sleep(0.1)
        if self.run.sqs.waiting:
            self.run.stuck.append(f"{self.run.sqs.waiting} messages of {what} after {_DRAIN:g} s")

    async def _stop(self) -> None:
        for number in self._alive:
            await self._nursery.tell(do="stop", worker=number)
        end = self.clock() + _STOP
        while self._alive and self.clock() < end:
            await self._poll(expected=True)
            await asyncio.sleep(0.05)
        for number in self._alive:
            self.run.stuck.append(f"worker {number} did not stop within {_STOP:g} s")

    async def _poll(self, *, expected: bool) -> None:
        for number, code in (await self._nursery.tell(do="poll"))["ended"].items():
            self._alive.discard(int(number))
            if code or not expected:
                self.run.crashed.append(f"worker {number} ended with {code}")
                if not expected:
                    await self._start(int(number))

    async def _watch(self) -> None:
        """Tell how it goes, start workers that crashed, and notice when this process is late itself."""
        last = told = self.clock()
        while True:
            await asyncio.sleep(0.05)
            now = self.clock()
            if now - last > 0.3:
                self.run.lags.append((last, now))
            last = now
            if now - told >= 5:
                told = now
                sqs = self.run.sqs
                self._progress(
                    f"{now:5.1f} s: {len(sqs.messages)} messages, {sqs.counts['deliveries']} deliveries,"
                    f" {sqs.waiting} in the queue, {len(sqs.dead)} dead, {len(self.run.kills)} kills,"
                    f" {len(self.run.catalog.posts)} POSTs"
                )


def run_chaos(
    schedule: Schedule, sabotage: str | None, directory: Path, progress: Progress
) -> tuple[Run, list[Finding]]:
    """Carry a schedule out, and judge what came of it."""
    directory.mkdir(parents=True, exist_ok=True)

    async def perform() -> Run:
        return await asyncio.wait_for(
            Stage(schedule, sabotage, directory, progress).perform(),
            schedule.profile.seconds + 2 * _DRAIN + 60,
        )

    run = asyncio.run(perform())
    return run, judge(run, f"{PREFIX}/")


def main(arguments: list[str] | None = None) -> int:
    """Run the function under chaos, and tell whether anything was lost."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.chaos",
        description="Run several handler processes under faults, kills and outages, all on 127.0.0.1, and"
        " compare what they leave with a model of their own. The seed decides messages, faults, kills and"
        " outages; how processes interleave in real time it does not, so a seed makes a finding likely to"
        " come again, not certain.",
        epilog="Exit code: 0 if the model agrees, 1 if there are findings, 2 if the run itself failed.",
    )
    parser.add_argument("--seed", type=int, default=1, help="the schedule's seed (default: 1)")
    sizes = parser.add_mutually_exclusive_group()
    for name in ("short", "long", "small"):
        described = PROFILES[name]
        sizes.add_argument(
            f"--{name}",
            dest="profile",
            action="store_const",
            const=name,
            help=f"{described.jobs} jobs, {described.seconds:g} s of trouble"
            + (" (the default)" if name == "short" else ""),
        )
    parser.add_argument("--jobs", type=int, help="another number of jobs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there as JSON, too")
    parser.add_argument(
        "--logs", type=Path, metavar="DIRECTORY", help="keep the workers' logs and the journal there"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    parser.add_argument(
        "--schedule",
        action="store_true",
        help="print the schedule's digest and do nothing (the same seed: the same)",
    )
    options = parser.parse_args(arguments)
    schedule = draw(options.seed, PROFILES[options.profile or "short"], options.jobs)
    if options.schedule:
        sys.stdout.write(f"{schedule.digest}\n")
        return 0
    sabotage = os.environ.get(SABOTAGE) or None
    directory = options.logs or Path(tempfile.mkdtemp(prefix="oam-chaos-"))

    def progress(text: str) -> None:
        if not options.quiet:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    kept = options.logs is not None
    try:
        try:
            run, findings = run_chaos(schedule, sabotage, directory, progress)
        except (TimeoutError, RuntimeError, OSError) as error:
            kept = True
            sys.stderr.write(f"The run itself failed: {error!r}; its logs: {directory}\n")
            return 2
        kept = kept or bool(findings)
        if kept:
            write_journal(run, directory / "journal.jsonl")
        sys.stdout.write(as_text(run, findings, directory if kept else None))
        if options.json:
            options.json.write_text(json.dumps(as_json(run, findings), indent=2) + "\n")
        return 1 if findings else 0
    finally:
        if not kept:
            shutil.rmtree(directory, ignore_errors=True)
