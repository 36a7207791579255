"""The schedule: all that a run does to the function, drawn from its seed alone."""

import hashlib
import json
import random
from dataclasses import dataclass, field, replace
from typing import Any

from tools.chaos.proxy import Fate, Fault, Outage

# The variable that chooses how worker.py breaks the function; here, since the harness does without boto3.
SABOTAGE = "OAM_CHAOS_SABOTAGE"


@dataclass(frozen=True, slots=True)
class Profile:
    """How much of everything; times in seconds.

    Attributes:
        name: short, long or small.
        jobs: how many.
        seconds: how long the trouble lasts; what is left then is drained in peace.
        workers: processes that consume the queue.
        kills: how many workers are killed at random moments.
        outages: for each service, how many.
        outage: the shortest and the longest of them.
        function_outages: how often all workers are gone for a while.
        large: messages that do not fit into an object together.
        chatty: jobs with more messages than a history has room for.
        max_receives: how often a message is delivered before it is a dead letter.
        batches: the batch sizes of which each worker has one.
        fault_rate: factor to the share of requests that meet a fault.
    """

    name: str
    jobs: int
    seconds: float
    workers: int
    kills: int
    outages: dict[str, int]
    outage: tuple[float, float]
    function_outages: int
    large: int
    chatty: int
    max_receives: int
    batches: tuple[int, ...] = (5, 10, 20, 40, 100)
    fault_rate: float = 1.0


PROFILES = {
    "small": Profile("small", 30, 5, 4, 3, {"s3": 1}, (0.7, 1.2), 0, 0, 0, 20, (2, 3, 5)),
    "short": Profile("short", 150, 22, 5, 12, {"s3": 1, "catalog": 1, "sqs": 1}, (2.0, 3.5), 1, 3, 0, 24),
    "long": Profile("long", 900, 65, 6, 30, {"s3": 2, "catalog": 2, "sqs": 2}, (3.0, 7.0), 1, 8, 1, 60),
}

# What the services may do to a request, and how likely each is.
WEIGHTS: dict[tuple[str, str], list[tuple[Fate, float]]] = {
    ("s3", "GET"): [
        (Fate(Fault.RESET), 3),
        (Fate(Fault.STALE), 3),
        (Fate(Fault.CUT), 2),
        (Fate(Fault.STALL), 1),
        (Fate(Fault.SLOW), 1),
        (Fate(Fault.ERROR, 500), 2),
        (Fate(Fault.ERROR, 502), 1),
        (Fate(Fault.ERROR, 503), 2),
        (Fate(Fault.ERROR, 403), 0.5),
        (Fate(Fault.OVERWRITE), 5),
        (Fate(Fault.KILL_DONE), 0.7),
    ],
    ("s3", "PUT"): [
        (Fate(Fault.RESET), 2),
        (Fate(Fault.STALE), 3),
        (Fate(Fault.LOST), 4),
        (Fate(Fault.CUT), 1),
        (Fate(Fault.STALL), 1),
        (Fate(Fault.SLOW), 1),
        (Fate(Fault.LATE), 2),
        (Fate(Fault.ERROR, 500), 2),
        (Fate(Fault.ERROR_DONE, 500), 2),
        (Fate(Fault.ERROR, 503), 2),
        (Fate(Fault.ERROR, 429), 1),
        (Fate(Fault.ERROR, 409), 3),
        (Fate(Fault.OVERWRITE), 5),
        (Fate(Fault.KILL), 0.5),
        (Fate(Fault.KILL_DONE), 1.2),
    ],
    ("sqs", "ReceiveMessage"): [
        (Fate(Fault.RESET), 2),
        (Fate(Fault.LOST), 1),
        (Fate(Fault.ERROR, 503), 2),
        (Fate(Fault.KILL_DONE), 0.5),
    ],
    ("sqs", "*"): [
        (Fate(Fault.RESET), 3),
        (Fate(Fault.STALE), 2),
        (Fate(Fault.LOST), 3),
        (Fate(Fault.CUT), 2),
        (Fate(Fault.STALL), 0.5),
        (Fate(Fault.LATE), 1),
        (Fate(Fault.SLOW), 0.5),
        (Fate(Fault.ERROR, 500), 2),
        (Fate(Fault.ERROR, 503), 2),
        (Fate(Fault.ERROR, 429), 1),
        (Fate(Fault.KILL), 0.7),
        (Fate(Fault.KILL_DONE), 0.7),
    ],
    ("catalog", "POST"): [
        (Fate(Fault.RESET), 2),
        (Fate(Fault.STALE), 2),
        (Fate(Fault.LOST), 3),
        (Fate(Fault.CUT), 1),
        (Fate(Fault.STALL), 1),
        (Fate(Fault.SLOW), 2),
        (Fate(Fault.LATE), 1),
        (Fate(Fault.SILENCE), 1),
        (Fate(Fault.ERROR, 500), 2),
        (Fate(Fault.ERROR_DONE, 500), 2),
        (Fate(Fault.ERROR, 502), 1),
        (Fate(Fault.ERROR_DONE, 504), 1),
        (Fate(Fault.ERROR, 503, "0"), 1),
        (Fate(Fault.ERROR, 503, "1"), 1),
        (Fate(Fault.ERROR, 503, "40"), 1),
        (Fate(Fault.ERROR, 429, "1"), 1),
        (Fate(Fault.ERROR, 429, "20"), 2),
        (Fate(Fault.ERROR, 429, "soon"), 0.5),
        (Fate(Fault.ERROR, 400), 4),
        (Fate(Fault.ERROR, 401), 1),
        (Fate(Fault.ERROR, 302), 1),
        (Fate(Fault.ERROR, 307), 1),
        (Fate(Fault.KILL), 1),
        (Fate(Fault.KILL_DONE), 2),
    ],
}
RATES = {"s3": 0.05, "sqs": 0.04, "catalog": 0.25}

_TEXTS = (
    'Failed to parse "scale": unexpected "x"',
    'java.lang.RuntimeException: "quoted" \\ back\\slash',
    'line one\nline two "said"\n\tat geotrellis.Foo(Foo.scala:12)',
    '"',
    'ends with a backslash and a quote "\\',
    'émojis 🛰 and "quotes"',
    '{ "jobId": "other", "stage": "mosaic" }',
)
_ERRORS = ("so many errors", "scala errors oh my", "lost a worker", "OOM: Java heap space", "")


@dataclass(slots=True)
class Message:
    """A message that is to be sent.

    Attributes:
        at: when, in seconds of the run.
        job_id: its job; None of poison.
        fields: what it says beside its jobId; None of poison.
        kind: what it is an example of.
        unlucky: whether SQS uses up its receives without showing it to anybody.
    """

    number: int
    at: float
    job_id: str | None
    body: str
    fields: dict[str, Any] | None
    kind: str
    unlucky: bool = False


@dataclass(slots=True)
class Job:
    """A job.

    Attributes:
        overwritten: when the API writes its PENDING, in seconds of the run; empty for most jobs.
        before: what is stored before the run, if anything.
        chatty: whether it has more messages than a history has room for.
    """

    job_id: str
    kind: str
    overwritten: list[float] = field(default_factory=list)
    before: bytes | None = None
    chatty: bool = False


@dataclass(slots=True)
class Schedule:
    seed: int
    profile: Profile
    jobs: dict[str, Job]
    messages: list[Message]
    kills: list[tuple[float, int, float]]  # when, whom, and after how many seconds it is started again
    function_outages: list[tuple[float, float]]
    outages: list[Outage]
    redrive_at: float
    batch_sizes: list[int]
    restart_delays: list[float]  # after the kills that requests bring about, in turn

    @property
    def digest(self) -> str:
        """Tells schedules apart: the same seed and profile give the same."""
        told = [
            [[m.number, m.at, m.body, m.kind, m.unlucky] for m in self.messages],
            [[j.job_id, j.overwritten, repr(j.before)] for j in self.jobs.values()],
            [self.kills, self.function_outages, [repr(o) for o in self.outages], self.redrive_at],
            [self.batch_sizes, self.restart_delays],
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


class _Drawer:
    """Draws a schedule."""

    def __init__(self, seed: int, profile: Profile) -> None:
        self.random = random.Random(f"chaos/{seed}/{profile.name}/{profile.jobs}")
        self.profile = profile
        self.jobs: dict[str, Job] = {}
        self.messages: list[Message] = []
        self.images = 0

    def job(self, number: int) -> None:
        draw = self.random
        names = {0: f"job-{number:04d}", 1: f"Job-{number - 1:04d}", 2: f"job.{number}_{'x' * 40}"}
        job = Job(names.get(number % 9, f"job-{number:04d}"), "")
        self.jobs[job.job_id] = job
        life = draw.choices(
            [self._straight, self._chunk_fails, self._mosaic_fails, self._restarts, self._six, self._remade],
            [4, 2, 2, 4, 1, 3],
        )[0]
        job.kind = life.__name__.strip("_")
        steps = life(job.job_id)
        if draw.random() < 0.1:  # a producer that sends a message again: to SQS another one
            steps.insert(draw.randrange(1, len(steps) + 1), dict(draw.choice(steps)))
        at = draw.uniform(0, 0.6) * self.profile.seconds
        for fields in steps:
            self._send(at, job.job_id, fields)
            pause = draw.random()
            at += 0 if pause < 0.4 else draw.uniform(0, 0.1) if pause < 0.8 else draw.uniform(0.1, 3)
            at = min(at, 0.97 * self.profile.seconds)
        first = self.messages[-len(steps)].at
        if draw.random() < 0.12:
            job.overwritten = sorted(first + draw.uniform(-0.2, 4) for _ in range(draw.randint(1, 3)))
        elif draw.random() < 0.06:
            job.before = draw.choice(
                [
                    json.dumps({"jobId": job.job_id, "stage": "chunk", "status": "STARTED"}).encode(),
                    json.dumps({"jobId": job.job_id, "status": "PENDING", "stage": "PENDING"}).encode(),
                    b"not json at all",
                    b"\xff\xfe\x00",
                    b"[]",
                ]
            )

    def _send(self, at: float, job_id: str, fields: dict[str, Any]) -> None:
        fields = dict(fields)
        text = fields.pop("_unescaped", None)
        body = json.dumps({"jobId": job_id, **fields}, ensure_ascii=self.random.random() < 0.5)
        kind = "event"
        if text is not None:
            body = f'{{ "jobId": "{job_id}", "stage": "mosaic", "status": "FAILED", "error": "{text}" }}'
            kind = "malformed failure"
            fields = {"stage": "mosaic", "status": "FAILED", "error": text}
            try:
                fields = json.loads(body)  # the text happens to need no escape
                fields.pop("jobId")
            except ValueError:
                pass
        unlucky = self.random.random() < 0.025
        self.messages.append(Message(len(self.messages), at, job_id, body, fields, kind, unlucky))

    def _step(self, stage: str, status: str, **more: Any) -> dict[str, Any]:
        draw = self.random
        fields = {"stage": stage, "status": status, **more}
        if status == "FAILED":
            fields["error"] = draw.choice(_ERRORS)
            if stage == "chunk" and draw.random() < 0.5:
                fields["stack"] = "\n".join(f"  at frame {n}" for n in range(draw.randint(1, 120)))
        if draw.random() < 0.15:  # fields that nobody documented, some with the names of ours
            fields[
                draw.choice(["tiles", "attempt", "history", "catalog", "updatedAt", "messageId", "sentAt"])
            ] = draw.choice([312, "x", None, [1, {"a": []}], 1.5, {"state": "NOTIFIED"}, "\u2028 ü"])
        return fields

    def _failure(self) -> dict[str, Any]:
        if self.random.random() < 0.7:
            return self._step("mosaic", "FAILED") | {"_unescaped": self.random.choice(_TEXTS)}
        return self._step("mosaic", "FAILED")

    def _finished(self, job_id: str) -> dict[str, Any]:
        draw = self.random
        count = draw.choice([0, 1, 2, 2, 3, 40])
        self.images += count
        images = [
            f"{draw.choice(['', '/vsicurl/'])}http://images.s3.amazonaws.com/{self.images - n}.tif"
            for n in range(count)
        ]
        # By job, not by draw: two targets of one job would be two entries of the catalog.
        scheme = (
            "s3://oam-tiles/",
            "s3n://tiles.oam.org/",
            "s3a://Oam-Tiles/",
            "https://tiles.example.org/a/",
        )
        target = scheme[sum(job_id.encode()) % 4] + job_id + ("/" if draw.random() < 0.2 else "")
        return self._step("mosaic", "FINISHED", target=target, images=images)

    def _chunk(self) -> list[dict[str, Any]]:
        return [self._step("chunk", "STARTED"), self._step("chunk", "FINISHED")]

    def _straight(self, job_id: str) -> list[dict[str, Any]]:
        return [*self._chunk(), self._step("mosaic", "STARTED"), self._finished(job_id)]

    def _chunk_fails(self, job_id: str) -> list[dict[str, Any]]:
        return [self._step("chunk", "STARTED"), self._step("chunk", "FAILED")]

    def _mosaic_fails(self, job_id: str) -> list[dict[str, Any]]:
        return [*self._chunk(), self._step("mosaic", "STARTED"), self._failure()]

    def _restarts(self, job_id: str) -> list[dict[str, Any]]:
        draw, steps = self.random, []
        for _ in range(draw.randint(1, 6)):
            steps += draw.choice([self._chunk_fails, self._mosaic_fails])(job_id)
        return steps + (
            self._straight(job_id) if draw.random() < 0.5 else self._chunk()[: draw.randint(1, 2)]
        )

    def _six(self, job_id: str) -> list[dict[str, Any]]:
        return [
            self._step("chunk", "STARTED"),
            self._step("chunk", "FAILED"),
            self._step("chunk", "FINISHED"),
            self._step("mosaic", "STARTED"),
            self._failure(),
            self._finished(job_id),
        ]

    def _remade(self, job_id: str) -> list[dict[str, Any]]:
        """Finish more than once: with other images, with the same, and fail after success."""
        draw = self.random
        steps = self._straight(job_id)
        for _ in range(draw.randint(1, 3)):
            again = draw.random()
            steps.append(self._step("mosaic", "STARTED"))
            if again < 0.25:
                steps.append(self._failure())
            else:
                before = [step for step in steps if "images" in step]
                steps.append(dict(draw.choice(before)) if again < 0.5 else self._finished(job_id))
        return steps

    def chatty(self, number: int) -> None:
        """Have a job of more messages than a history has room for."""
        job = Job(f"chatty-{number}", "chatty", chatty=True)
        self.jobs[job.job_id] = job
        count = 300
        for index in range(count):
            stage = "chunk" if index % 2 else "mosaic"
            at = (0.1 + 0.6 * index / count) * self.profile.seconds
            self._send(at, job.job_id, self._step(stage, self.random.choice(["STARTED", "FAILED"])))
        self._send(0.75 * self.profile.seconds, job.job_id, self._finished(job.job_id))

    def large(self, number: int) -> None:
        """Have a job of messages that do not fit into an object together."""
        job = Job(f"large-{number}", "large")
        self.jobs[job.job_id] = job
        at = self.random.uniform(0, 0.6) * self.profile.seconds
        for index in range(self.random.randint(2, 8)):
            text = self.random.choice(
                ["x" * 3, "\n" * 3, '"' * 3, "é"]
            )  # escaped, the largest is nearly 1 MiB
            error = f"{number}/{index} " + text * self.random.choice([300, 35_000, 170_000])
            self._send(at, job.job_id, {"stage": "chunk", "status": "STARTED"})
            self._send(at + 0.01, job.job_id, {"stage": "chunk", "status": "FAILED", "error": error})
            at += self.random.uniform(0, 0.5)
        if self.random.random() < 0.5:
            for fields in self._straight(job.job_id):
                self._send(at, job.job_id, fields)

    def poison(self, count: int) -> None:
        draw = self.random
        known = sorted(self.jobs)
        for _ in range(count):
            job_id = draw.choice(known)
            whole = {"jobId": job_id, "stage": "chunk", "status": "STARTED"}
            finished = {
                "jobId": job_id,
                "stage": "mosaic",
                "status": "FINISHED",
                "target": "s3://a/b",
                "images": [],
            }
            body = draw.choice(
                [
                    "chunk of a job is nearly done",
                    "",
                    " ",
                    "[]",
                    "null",
                    "3",
                    '"text"',
                    json.dumps(whole)[:-1],
                    json.dumps(whole | {"x": float("nan")}),
                    json.dumps(whole | {"stage": "tile"}),
                    json.dumps(whole | {"status": "DONE"}),
                    json.dumps(whole | {"status": "started"}),
                    json.dumps(whole | {"stage": None}),
                    json.dumps(whole | {"stage": ["chunk"]}),
                    json.dumps({name: value for name, value in finished.items() if name != "target"}),
                    json.dumps(finished | {"target": "/tmp/tiles"}),
                    json.dumps(finished | {"target": ["s3://a/b"]}),
                    json.dumps(finished | {"images": "http://a/b.tif"}),
                    json.dumps(finished | {"images": [1]}),
                    json.dumps(finished | {"images": None}),
                    json.dumps(whole | {"jobId": "../escape"}),
                    json.dumps(whole | {"jobId": "a/b"}),
                    json.dumps(whole | {"jobId": ""}),
                    json.dumps(whole | {"jobId": "x" * 257}),
                    json.dumps(whole | {"jobId": ".hidden"}),
                    json.dumps(whole | {"jobId": f"{job_id}\n"}),
                    json.dumps(whole | {"jobId": f"{job_id}\u0000"}),
                    json.dumps(whole | {"jobId": 7}),
                    json.dumps(whole | {"jobId": None}),
                    '{"jobId": "' + job_id + '", "stage": "chunk", "status": "STARTED", "x": ' + "[" * 50_000,
                    json.dumps(whole)[:-1] + ', "x": 1e999}',
                    '{ "jobId": "../' + job_id + '", "stage": "mosaic", "status": "FAILED", "error": "a"b" }',
                ]
            )
            at = draw.uniform(0, 0.9) * self.profile.seconds
            unlucky = draw.random() < 0.1
            self.messages.append(Message(len(self.messages), at, None, body, None, "poison", unlucky))


def draw(seed: int, profile: Profile, jobs: int | None = None) -> Schedule:
    """Draw a run's schedule.

    Args:
        seed: what it depends on, with the profile.
        profile: how much of everything.
        jobs: in place of the profile's number of them.
    """
    if jobs is not None:
        profile = replace(profile, jobs=jobs)
    drawer = _Drawer(seed, profile)
    for number in range(profile.jobs):
        drawer.job(number)
    for number in range(profile.large):
        drawer.large(number)
    for number in range(profile.chatty):
        drawer.chatty(number)
    drawer.poison(max(8, profile.jobs // 8))
    source = drawer.random
    kills = sorted(
        (
            source.uniform(1, profile.seconds * 0.95),
            source.randrange(profile.workers),
            source.uniform(0.05, 1.2),
        )
        for _ in range(profile.kills)
    )
    function_outages = [
        (source.uniform(0.3, 0.8) * profile.seconds, source.uniform(*profile.outage))
        for _ in range(profile.function_outages)
    ]
    outages = []
    for service, count in profile.outages.items():
        slot = profile.seconds * 0.9 / max(1, count)
        for index in range(count):
            length = source.uniform(*profile.outage)
            start = 1 + index * slot + source.uniform(0, max(0.1, slot - length - 1))
            mode = source.choice(["refused", "reset", "silence", "503", "500"])
            outages.append(Outage(service, start, start + length, mode))
    return Schedule(
        seed=seed,
        profile=profile,
        jobs=drawer.jobs,
        messages=sorted(drawer.messages, key=lambda message: (message.at, message.number)),
        kills=kills,
        function_outages=sorted(function_outages),
        outages=sorted(outages, key=lambda outage: outage.start),
        redrive_at=source.uniform(0.55, 0.75) * profile.seconds,
        batch_sizes=[source.choice(profile.batches) for _ in range(profile.workers)],
        restart_delays=[source.uniform(0.05, 1.0) for _ in range(97)],
    )
