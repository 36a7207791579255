"""Compares what a run left behind with what its messages amount to."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tools.chaos import model
from tools.chaos.aws import API, BEFORE, Message, Version
from tools.chaos.catalog import Post
from tools.chaos.model import Sent
from tools.chaos.proxy import Fault, Request
from tools.chaos.schedule import Job

if TYPE_CHECKING:
    from tools.chaos.harness import Run

_LAG = 0.5  # seconds that this process may be late before a client may have given up for it


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    The kinds:

    - lost: an accepted message is neither in its job's history nor among the dead letters
    - regressed: an object went backwards
    - status: stage, status or attempt is not what the job's messages give
    - differs: anything else in an object is not what they give
    - catalog: the catalog does not hold what it should, or the object does not say what it holds
    - repeated: a POST was repeated, and nothing that happened explains it
    - two at once: two POSTs for one job at the same time
    - dead letter: a valid message ended there in spite of a redrive in peace, or a poison message did not
    - reason: no log says why a message is dead, or the logs say more than once why it was refused
    - outside: an object outside the prefix, or of no job
    - secret: the token is where it does not belong
    - request: a request that the function should never make
    - unexpected: the function met an error that it does not know
    - unfinished: something did not come to its end in time, or ended by itself
    """

    kind: str
    job_id: str
    text: str


class Judge:
    """Judges a run.

    Args:
        run: what happened.
        prefix: of the objects' keys.
    """

    def __init__(self, run: "Run", prefix: str) -> None:
        self._run = run
        self._prefix = prefix
        self.findings: list[Finding] = []
        self.limits: Counter[str] = Counter()  # known limits that showed
        self.repeats: Counter[str] = Counter()  # repeated POSTs, by what explains them
        self._schedule = {message.number: message for message in run.schedule.messages}
        self._truth: dict[str, dict[str, Sent]] = defaultdict(dict)  # by job, by messageId
        self._carriers: dict[int, list[Message]] = defaultdict(list)
        self._logged = {worker: list(_lines(log)) for worker, log in run.logs.items()}
        self._refused = Counter(  # how often a log tells its reason, by messageId
            message_id
            for worker in run.logs
            for line in self._lines(worker, "Message refused")
            if line.get("reason")
            for message_id in line["message_id"]
        )
        for message in run.sqs.messages.values():
            planned = self._schedule[message.number]
            self._carriers[message.number].append(message)
            if planned.job_id is not None and planned.fields is not None:
                self._truth[planned.job_id][message.message_id] = Sent(
                    message.message_id, message.sent_at, planned.fields
                )

    def judge(self) -> None:
        run = self._run
        for text in [*run.stuck, *run.crashed]:
            self._find("unfinished", "", text)
        for text in [*run.s3.trouble, *run.sqs.trouble, *run.catalog.trouble]:
            self._find("request", "", text)
        for job in run.schedule.jobs.values():
            self._judge_job(job)
        self._judge_poison()
        self._judge_keys()
        self._judge_secrets()
        self._judge_logs()
        self._judge_catalog_as_a_whole()
        self._judge_posts()

    def _find(self, kind: str, job_id: str, text: str) -> None:
        self.findings.append(Finding(kind, job_id, text))

    # --- A job's object

    def _judge_job(self, job: Job) -> None:
        truth = dict(self._truth[job.job_id])
        versions = self._run.s3.versions.get(f"{self._prefix}{job.job_id}-status.json", [])
        legacy = self._legacy(versions)
        if legacy:
            truth[model.LEGACY] = legacy
        known: list[frozenset[str]] = []  # the history of each version
        previous: Version | None = None
        for version in versions:
            ids: frozenset[str] = frozenset()
            if version.writer >= 0:
                stored = self._decoded(job, version)
                ids = self._judge_version(job, version, stored, truth) if stored else ids
                if previous and previous.writer >= 0:
                    self._judge_succession(job, previous, version, known[-1] - ids)
            known.append(ids)
            previous = version
        self._judge_end(job, versions, known, truth)

    def _legacy(self, versions: list[Version]) -> Sent | None:
        """Return what an object that the legacy system had written says."""
        if not versions or versions[0].writer != BEFORE:
            return None
        try:
            fields = json.loads(versions[0].body)
            legacy = Sent(
                model.LEGACY,
                versions[0].modified * 1000,
                {name: value for name, value in fields.items() if name != "jobId"},
            )
        except (ValueError, AttributeError):
            return None
        return legacy if legacy.fields.get("status") != "PENDING" else None

    def _decoded(self, job: Job, version: Version) -> dict[str, Any] | None:
        """Read an object as strictly as the API does."""
        if version.headers.get("content-type") != "application/json":
            self._find("differs", job.job_id, f"Content-Type {version.headers.get('content-type')}")
        if version.headers.get("x-amz-acl") != "bucket-owner-full-control":
            self._find("differs", job.job_id, f"ACL {version.headers.get('x-amz-acl')}")
        if len(version.body) >= model.OBJECT_BYTES:
            self._find("differs", job.job_id, f"an object of {len(version.body)} bytes")
        try:
            stored = json.loads(version.body.decode())
        except ValueError as error:
            self._find("differs", job.job_id, f"not JSON: {error}")
            return None
        if not isinstance(stored, dict) or not isinstance(stored.get("history"), list):
            self._find("differs", job.job_id, "not an object with a history")
            return None
        return stored

    def _judge_version(
        self, job: Job, version: Version, stored: dict[str, Any], truth: Mapping[str, Sent]
    ) -> frozenset[str]:
        """Compare an object with what the messages of its history give; give these messages' ids."""
        where = f"version of {version.at:.2f} s: "
        history = stored["history"]
        written = {entry["messageId"]: entry for entry in history}
        strangers = written.keys() - truth.keys()
        if strangers or len(written) < len(history):
            self._find("differs", job.job_id, f"{where}messages twice, or not its own: {sorted(strangers)}")
            return frozenset(written)
        ordered = model.in_order(truth[message_id] for message_id in written)
        # No character takes more than two bytes here, and what decides stands in the object twice.
        full = sum(len(str(dict(truth[message_id].fields))) for message_id in written) > 1_000_000
        for message in ordered:
            self._judge_entry(job, where, message, written[message.message_id], full)
        if job.chatty and len(history) >= model.HISTORY - 1:
            self._judge_bounded(job, where, stored, truth)
            return frozenset(written)
        if [message.message_id for message in ordered] != list(written):
            self._find("differs", job.job_id, f"{where}the history is not in order")
        self._judge_claim_to_be_told(job, where, version, stored.get("catalog"))
        expected = model.view(job.job_id, ordered, written)
        actual = {name: value for name, value in stored.items() if name not in ("history", "catalog")}
        for name in ("stage", "status", "attempt"):
            if actual.get(name) != expected[name]:
                self._find(
                    "status", job.job_id, f"{where}{name} is {actual.get(name)!r}, not {expected[name]!r}"
                )
        if actual != expected:
            names = sorted(
                name
                for name in actual.keys() | expected.keys()
                if actual.get(name, ...) != expected.get(name, ...)
            )
            self._find("differs", job.job_id, f"{where}{', '.join(names)}")
        return frozenset(written)

    def _judge_claim_to_be_told(self, job: Job, where: str, version: Version, section: object) -> None:
        """An object says that the catalog knows only once the catalog has taken it."""
        if isinstance(section, dict) and section.get("state") == "NOTIFIED":
            posts = self._run.catalog.posts
            if not any(post.uri == section.get("uri") and post.number < version.number for post in posts):
                self._find("catalog", job.job_id, f"{where}NOTIFIED, but the catalog was never told")

    def _judge_entry(self, job: Job, where: str, message: Sent, entry: dict[str, Any], full: bool) -> None:
        if entry["sentAt"] != model.iso(message.sent_at):
            self._find(
                "differs",
                job.job_id,
                f"{where}{message.message_id}: sentAt {entry['sentAt']}, not {model.iso(message.sent_at)}",
            )
        ours = ("messageId", "sentAt", "droppedBefore")
        fields = {name: value for name, value in entry.items() if name not in ours}
        sent = {name: value for name, value in message.fields.items() if name not in model.RESERVED}
        bare = {"stage": sent["stage"], "status": sent["status"]}
        short = model.is_same_or_truncated(sent, fields) or fields in (bare, model.identifying_fields(sent))
        if fields != sent and not (full and short):
            self._find("differs", job.job_id, f"{where}{message.message_id}: its fields are not as sent")

    def _judge_bounded(self, job: Job, where: str, stored: dict[str, Any], truth: Mapping[str, Sent]) -> None:
        """Of more messages than a history holds, which ones stay depends on their arrival."""
        if len(stored["history"]) > model.HISTORY:
            self._find("differs", job.job_id, f"{where}a history of {len(stored['history'])}")
        finished = any(truth[entry["messageId"]].step == model.SUCCESS for entry in stored["history"])
        if finished != (stored["status"] == "SUCCESS"):
            self._find("status", job.job_id, f"{where}{stored['status']}, finished: {finished}")

    def _judge_succession(self, job: Job, before: Version, after: Version, gone: frozenset[str]) -> None:
        """Compare two versions between which nobody but the function wrote."""
        where = f"version of {after.at:.2f} s: "
        try:
            earlier, later = json.loads(before.body), json.loads(after.body)
        except ValueError:
            return
        if earlier.get("status") == "SUCCESS" and later.get("status") != "SUCCESS":
            self._find("regressed", job.job_id, f"{where}{later.get('status')} after SUCCESS")
        if gone and not (job.chatty and len(later.get("history", [])) >= model.HISTORY - 1):
            self._find(
                "regressed", job.job_id, f"{where}{len(gone)} messages left the history: {sorted(gone)[:3]}"
            )

    def _judge_end(
        self,
        job: Job,
        versions: list[Version],
        known: list[frozenset[str]],
        truth: Mapping[str, Sent],
    ) -> None:
        """Account for every message of a job."""
        last_overwrite = max((n for n, version in enumerate(versions) if version.writer == API), default=-1)
        final = known[-1] if known else frozenset()
        wiped = frozenset[str]().union(*known[: last_overwrite + 1])
        for number, planned in self._schedule.items():
            if planned.job_id != job.job_id:
                continue
            for message in self._carriers[number]:
                if message.state == "dead":
                    self._find("dead letter", job.job_id, f"{planned.kind} {number}, {message.message_id}")
                if message.state != "deleted" or message.message_id in final:
                    continue
                if message.message_id in wiped:
                    self.limits["an overwrite by the API took a message with it"] += 1
                elif job.chatty and len(final) >= model.HISTORY - 1:
                    self.limits["older than the newest 256"] += 1
                else:
                    receives = ", ".join(f"worker {w} at {at:.2f} s" for w, at in message.receives)
                    self._find(
                        "lost",
                        job.job_id,
                        f"{planned.body[:120]!r} ({message.message_id}) was acknowledged, and is nowhere;"
                        f" received by {receives}",
                    )
        self._judge_told(job, versions, final, truth, overwritten=last_overwrite >= 0)

    # --- The catalog

    def _judge_told(
        self,
        job: Job,
        versions: list[Version],
        final: frozenset[str],
        truth: Mapping[str, Sent],
        *,
        overwritten: bool,
    ) -> None:
        """Compare the catalog's entry of a job with the job's last mosaic FINISHED."""
        everything = [sent for sent in truth.values() if sent.fields and sent.step == model.SUCCESS]
        finished = [sent for sent in model.in_order(truth[i] for i in final) if sent.step == model.SUCCESS]
        if not everything:
            return
        entries = {
            model.tile_url(sent.fields["target"]): self._run.catalog.entries.get(
                model.tile_url(sent.fields["target"])
            )
            for sent in everything
        }
        held = {uri: images for uri, images in entries.items() if images is not None}
        if not finished:
            # The overwrite took it; that it is lost otherwise is a finding already.
            if overwritten and not held:
                self._find("catalog", job.job_id, "finished, then overwritten: not in the catalog")
            return
        newest = model.decides(finished)
        uri, images = model.tile_url(newest.fields["target"]), model.catalog_images(newest.fields)
        if set(held.get(uri, ())) != set(images) or uri not in held:
            text = f"{uri}: {held.get(uri)}, not {images}"
            if overwritten and uri in held and self._is_one_of(everything, held[uri]):
                self.limits["an overwrite by the API let an older set of images be told last"] += 1
            elif self._was_late(uri, images):
                self.limits["a POST that the network kept back came after a newer one"] += 1
            else:
                self._find("catalog", job.job_id, text)
        section = json.loads(versions[-1].body).get("catalog", {})
        if (section.get("state"), section.get("uri")) != ("NOTIFIED", uri) or "claimedUntil" in section:
            text = f"the object says {section}"
            if overwritten and section.get("state") != "NOTIFIED":
                self.limits["an overwrite by the API took the catalog's section with it"] += 1
            else:
                self._find("catalog", job.job_id, text)

    def _is_one_of(self, finished: list[Sent], images: tuple[str, ...]) -> bool:
        return any(set(images) == set(model.catalog_images(sent.fields)) for sent in finished)

    def _was_late(self, uri: str, images: list[str]) -> bool:
        """Tell whether the right POST had come, and a later one was done after its client had given up."""
        posts = [post for post in self._run.catalog.posts if post.uri == uri]
        right = [post for post in posts if set(post.images) == set(images)]
        return bool(right) and posts[-1].request.fate is not None and not posts[-1].request.answered

    def _judge_catalog_as_a_whole(self) -> None:
        finished = {
            model.tile_url(sent.fields["target"])
            for truth in self._truth.values()
            for sent in truth.values()
            if sent.step == model.SUCCESS
        }
        for uri in self._run.catalog.entries.keys() - finished:
            self._find("catalog", "", f"{uri} is of no finished job")

    def _judge_posts(self) -> None:
        """Account for every POST beyond the first of a job and its images."""
        jobs = {
            model.tile_url(sent.fields["target"]): job_id
            for job_id, truth in self._truth.items()
            for sent in truth.values()
            if sent.step == model.SUCCESS
        }
        by_uri: dict[str, list[Post]] = defaultdict(list)
        for post in self._run.catalog.posts:
            by_uri[post.uri].append(post)
        for uri, posts in by_uri.items():
            job_id = jobs.get(uri, "")
            told: dict[frozenset[str], Post] = {}
            for index, post in enumerate(posts):
                before = told.get(frozenset(post.images))
                if before is not None:
                    reason = self._why_again(job_id, before, post, posts[:index])
                    self.repeats[reason or "unexplained"] += 1
                    if reason is None:
                        self._find(
                            "repeated",
                            job_id,
                            f"POST of {post.begun:.2f} s by worker {post.request.worker} says what that of"
                            f" {before.begun:.2f} s by worker {before.request.worker} said",
                        )
                told[frozenset(post.images)] = post
            for one, other in pairwise(posts):
                self._judge_overlap(job_id, one, other)

    def _why_again(self, job_id: str, before: Post, again: Post, earlier: list[Post]) -> str | None:
        """Give what made it necessary, or excusable, to say the same again."""
        run, key = self._run, f"{self._prefix}{job_id}-status.json"
        since, until, worker, fate = before.begun, again.begun, before.request.worker, before.request.fate
        between = [post for post in earlier if post.number > before.number]
        reasons = {
            "other images were told in between": any(
                set(post.images) != set(before.images) for post in between
            ),
            # A claim whose POST may have been taken, or not: nobody can know, so the catalog is told again.
            "other images were claimed in between": len(self._claimed(key, since, until)) > 1,
            f"the first one's answer: {fate.name if fate else ''}": fate is not None,
            "the first one's client had given up": not before.request.answered,
            "the worker was killed before it had recorded the answer": any(
                since <= at <= until and who == worker for at, who, _ in run.kills
            ),
            "the API wrote over the record": any(
                version.writer == API and since <= version.at <= until for version in run.s3.versions[key]
            ),
            "the answer's record met a fault of S3": any(
                request.service == "s3"
                and request.path == f"/{run.s3.bucket}/{key}"
                and request.worker == worker
                for request in self._faulted(since, until)
            ),
            "the harness was slow": any(
                since - 1 <= start <= until and end - start > _LAG for start, end in run.lags
            ),
            "the answer was not recorded, and a log says so": any(
                line.get("job_id") == job_id for line in self._lines(worker, "Catalog's answer not recorded")
            ),
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    def _claimed(self, key: str, since: float, until: float) -> set[str]:
        """Give the digests of the notifications that an object named in a time."""
        named = (
            _catalog_section(version).get("digest")
            for version in self._run.s3.versions[key]
            if version.writer >= 0 and since <= version.at <= until
        )
        return {digest for digest in named if digest}

    def _faulted(self, since: float, until: float) -> Iterator[Request]:
        for request in self._run.proxy.met:
            if request.begun <= until and (request.ended is None or request.ended >= since):
                yield request

    def _judge_overlap(self, job_id: str, one: Post, other: Post) -> None:
        """Two POSTs at once can lose an entry in the catalog; a client that is gone sends no more."""
        if other.begun < _given_up(one) and one.begun < _given_up(other):
            versions = self._run.s3.versions[f"{self._prefix}{job_id}-status.json"]
            if any(version.writer == API for version in versions):
                self.limits["an overwrite by the API took a claim with it"] += 1
            else:
                self._find("two at once", job_id, f"at {one.begun:.2f} and {other.begun:.2f} s")

    # --- Everything else

    def _judge_poison(self) -> None:
        for number, planned in self._schedule.items():
            if planned.job_id is not None:
                continue
            carriers = self._carriers[number]
            if not carriers or carriers[-1].state != "dead":
                state = carriers[-1].state if carriers else "never sent"
                kind = "lost" if state == "deleted" else "dead letter"
                self._find(kind, "", f"poison {planned.body[:80]!r} is {state}")
            if not any(self._is_refused(message) for message in carriers):
                self._find("reason", "", f"no log says why {planned.body[:80]!r} is dead")
        for message_id, times in self._refused.items():
            if times > 1:
                self._find("reason", "", f"the logs say {times} times why {message_id} was refused")

    def _is_refused(self, message: Message) -> bool:
        return message.message_id in self._refused or not message.receives

    def _judge_keys(self) -> None:
        keys = {f"{self._prefix}{job_id}-status.json" for job_id in self._run.schedule.jobs}
        for key in self._run.s3.versions.keys() - keys:
            self._find("outside", "", key)

    def _judge_secrets(self) -> None:
        run = self._run
        for text in [*run.proxy.secrets, *run.thefts]:
            self._find("secret", "", f"sent elsewhere, or a redirect followed: {text}")
        for number, log in run.logs.items():
            if run.token in log:
                self._find("secret", "", f"in the log of worker {number}")
        for key, versions in run.s3.versions.items():
            if any(run.token.encode() in version.body for version in versions):
                self._find("secret", key, "in an object")

    def _judge_logs(self) -> None:
        for worker, lines in self._logged.items():
            for line in lines:
                if line.get("level") in ("ERROR", "CRITICAL") or line.get("chaos") == "function error":
                    self._find("unexpected", "", f"worker {worker}: {_reason(line)}")

    def _lines(self, worker: int, message: str) -> list[dict[str, Any]]:
        return [line for line in self._logged.get(worker, []) if line.get("message") == message]


def _lines(log: str) -> Iterator[dict[str, Any]]:
    """Read a worker's log; a line that a kill cut short says nothing."""
    for text in log.splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            if not text.startswith("{"):
                yield {"level": "ERROR", "message": "not a log line", "error": text}
            continue
        yield line


def _catalog_section(version: Version) -> dict[str, Any]:
    """Give what an object says of the catalog; nothing where it can't be read, which is a finding already."""
    try:
        stored = json.loads(version.body)
    except ValueError:
        return {}
    section = stored.get("catalog") if isinstance(stored, dict) else None
    return section if isinstance(section, dict) else {}


def _given_up(post: Post) -> float:
    """Give when the client of a POST had its answer or waited no longer."""
    # Of an answer that stalls the status came, which is all that the client waits for.
    late = post.request.fate is not None and post.request.fate.fault in {Fault.LATE, Fault.STALL}
    return post.taken if late else post.request.ended or post.begun


def _reason(line: Mapping[str, Any]) -> str:
    """Give the last line of a log line's traceback, and the innermost of the handler's own frames."""
    trace = str(line.get("exception") or line.get("error") or line).strip().splitlines()
    own = [frame.strip() for frame in trace if "/handler/" in frame]
    where = own[-1] if own else "no frame of ours"
    return f"{line.get('message', 'function error')}: {trace[-1][:300]} ({where})"


def judge(run: "Run", prefix: str) -> list[Finding]:
    """Judge a run.

    Args:
        run: what happened.
        prefix: of the objects' keys.

    Returns:
        What is not as it should be.
    """
    judge = Judge(run, prefix)
    judge.judge()
    run.limits, run.repeats = judge.limits, judge.repeats
    return judge.findings
