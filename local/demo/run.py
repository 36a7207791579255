"""`make demo`: real messages of several jobs, through the real handler, against the embedded stack.

Exits 0 only if every job ended as its messages say, the dead-letter queue holds the poison and nothing else,
and the catalog was told of each finished job once.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.cli.dead_letters import DeadLetter, read_dead_letters
from local.cli.jobs import find_job, read_jobs
from local.cli.text import printable
from local.cli.timeline import timeline
from local.demo.scenario import SCENARIO, Job, Scenario
from local.demo.screen import Screen
from local.demo.verdict import Verdict, judge_catalog, judge_dead_letters, judge_job, judge_strangers
from local.stack.embedded import BUCKET, PREFIX, Stack, embedded_stack, leave_aws
from local.stack.event_source_mapping import Delivery, EventSourceMapping, Handler, Record

LOG = Path(__file__).parents[2] / "build" / "demo.log"

# In seconds, but for the counts.
VISIBILITY_TIMEOUT = 1  # short: the dead letters are waited for
MAX_RECEIVE_COUNT = 3
FUNCTION_TIMEOUT = 30
LONGEST_DRAIN = 60
PAUSE = 0.35  # between two batches on a terminal, for people to see what happens

# The demo's stack is gone when it ends.
NEXT = {
    "make start": "a stack that stays; then, elsewhere:",
    "make send EVENT=events/full-job.json": "a job's messages for it",
    ".venv/bin/oam-status jobs": "what became of them",
    ".venv/bin/oam-status job test-job": "one job's history",
    ".venv/bin/oam-status doctor": "whether all is as it must be",
}

_JUST_APART = 0.002  # seconds between two sends: SentTimestamp counts milliseconds, and is the only clock


class DemoError(Exception):
    """Raised when the demo can't run to its end."""


def main(scenario: Scenario = SCENARIO) -> int:
    """Run the demo.

    Args:
        scenario: what to send, and what must come of it.

    Returns:
        The exit code: 0 if all ended as it must, 130 on Ctrl-C, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the shuffling (default: %(default)s)")
    parser.add_argument(
        "--log", type=Path, default=LOG, help="file for the function's log (default: %(default)s)"
    )
    arguments = parser.parse_args()
    screen = Screen(sys.stdout)
    try:
        arguments.log.parent.mkdir(parents=True, exist_ok=True)
        # The function writes its log to stdout, as in Lambda. It is imported when that is a file already.
        with arguments.log.open("w", encoding="utf-8") as log, redirect_stdout(log):
            screen.say_all(f"The function's log: {arguments.log}")
            return _run(scenario, random.Random(arguments.seed), screen)  # noqa: S311 (no secret)
    except (DemoError, OSError, BotoCoreError, ClientError) as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(scenario: Scenario, rng: random.Random, screen: Screen) -> int:
    began = time.monotonic()
    leave_aws()
    with embedded_stack(
        visibility_timeout=VISIBILITY_TIMEOUT,
        max_receive_count=MAX_RECEIVE_COUNT,
        not_yet_indexed=scenario.not_yet_indexed,
    ) as stack:
        stack.enter_environment()
        screen.say(f"S3 and SQS: {stack.url}   catalog: {stack.catalog.url}")
        mapping = EventSourceMapping(stack.sqs, stack.queue_url, _handler(), timeout=FUNCTION_TIMEOUT, wait=1)
        sent = _send(stack, scenario, rng)
        screen.say(f"Sent {sum(map(len, sent.values()))} messages of {len(scenario.jobs)} jobs,"
                   f" and {len(scenario.poison)} poison messages.")  # fmt: skip
        records = _receive(mapping, sum(map(len, sent.values())) + len(scenario.poison))
        with screen.table():
            _deliver_shuffled(mapping, records, rng, stack, screen)
            _drain(mapping, stack, screen)

        jobs = read_jobs(stack.s3, BUCKET, PREFIX)
        dead_letters = read_dead_letters(
            stack.sqs, stack.dead_letter_queue_url, lambda job_id: find_job(stack.s3, BUCKET, PREFIX, job_id)
        )
        for job in scenario.jobs:
            _show_timeline(job, jobs.get(job.job_id, {}), screen)
        _show_dead_letters(dead_letters, screen)
        screen.say()
        screen.say("The catalog holds", "bold")
        for uri, images in stack.catalog.entries.items():
            screen.say_all(f"    {uri}")
            for image in images:
                screen.say_all(f"        {image}")

        verdicts = [judge_job(job, sent[job.job_id], jobs.get(job.job_id)) for job in scenario.jobs]
        verdicts.append(judge_strangers(scenario.jobs, jobs))
        verdicts.append(judge_dead_letters(scenario.poison, [letter.body for letter in dead_letters]))
        verdicts.append(judge_catalog(scenario.jobs, stack.catalog.taken))
    return _conclude(verdicts, time.monotonic() - began, screen)


def _handler() -> Handler:
    """Import the function."""
    from handler.app import lambda_handler  # noqa: PLC0415 (late: its logger keeps the stdout that it finds)

    return lambda_handler


def _send(stack: Stack, scenario: Scenario, rng: random.Random) -> dict[str, list[str]]:
    """Send each job's messages in their order, the jobs interleaved; give each job's messageIds."""
    turns = [job.job_id for job in scenario.jobs for _ in job.messages] + [None] * len(scenario.poison)
    rng.shuffle(turns)
    bodies: dict[str | None, Iterator[str]] = {
        job.job_id: iter([message.body for message in job.messages]) for job in scenario.jobs
    }
    bodies[None] = iter(scenario.poison)
    sent: dict[str, list[str]] = {job.job_id: [] for job in scenario.jobs}
    for job_id in turns:
        answer = stack.sqs.send_message(QueueUrl=stack.queue_url, MessageBody=next(bodies[job_id]))
        if job_id is not None:
            sent[job_id].append(answer["MessageId"])
        time.sleep(_JUST_APART)
    return sent


def _receive(mapping: EventSourceMapping, count: int) -> list[Record]:
    """Receive all that was sent, which the function is to get in another order."""
    records: dict[str, Record] = {}
    while len(records) < count:
        received = mapping.receive()
        if not received:
            raise DemoError(f"only {len(records)} of {count} messages came out of the queue")
        records |= {record["messageId"]: record for record in received}
    return list(records.values())


def _deliver_shuffled(
    mapping: EventSourceMapping, records: Sequence[Record], rng: random.Random, stack: Stack, screen: Screen
) -> None:
    again = rng.sample(records, len(records) // 3)
    deck = [*records, *again]
    rng.shuffle(deck)
    screen.report(f"Delivering {len(records)} messages shuffled, {len(again)} of them twice.", {})
    number = 0
    while deck:
        size = rng.randint(4, 10)
        batch, deck = deck[:size], deck[size:]
        number += 1
        _report(f"Batch {number}", mapping.deliver(batch), batch, stack, screen)


def _drain(mapping: EventSourceMapping, stack: Stack, screen: Screen) -> None:
    """Let what is left come back by its visibility timeout, until nothing is left."""
    deadline = time.monotonic() + LONGEST_DRAIN
    while left := _left(stack):
        if time.monotonic() > deadline:
            raise DemoError(f"{left} messages are still in the queue after {LONGEST_DRAIN} s")
        screen.report(
            f"Waiting for {left} messages that failed to come back.", read_jobs(stack.s3, BUCKET, PREFIX)
        )
        batch = mapping.receive()
        if batch:
            receive = max(record["attributes"]["ApproximateReceiveCount"] for record in batch)
            name = f"Receive {receive} of {MAX_RECEIVE_COUNT}"
            _report(name, mapping.deliver(batch), batch, stack, screen)
    screen.report("Nothing is left in the queue.", read_jobs(stack.s3, BUCKET, PREFIX))


def _left(stack: Stack) -> int:
    attributes = stack.sqs.get_queue_attributes(
        QueueUrl=stack.queue_url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    return sum(map(int, attributes.values()))


def _report(name: str, delivery: Delivery, batch: Sequence[Record], stack: Stack, screen: Screen) -> None:
    news = f"{name}: {len(batch)} deliveries, {len(delivery.succeeded)} messages done"
    if delivery.failed:
        news += f", {len(delivery.failed)} stay in the queue"
    if delivery.error:
        news += f" ({delivery.error.strip().splitlines()[-1]})"
    screen.report(news, read_jobs(stack.s3, BUCKET, PREFIX))
    if screen.is_live:
        time.sleep(PAUSE)


def _show_timeline(job: Job, status: Mapping[str, Any], screen: Screen) -> None:
    screen.say()
    screen.say_all(f"{job.job_id}: {job.story}", "bold")
    for entry in timeline(status):
        step = f"{entry.stage:<6} {entry.status:<8}"
        screen.say(f"    {entry.time}  attempt {entry.attempt}  {step}  {entry.detail}".rstrip())


def _show_dead_letters(dead_letters: Sequence[DeadLetter], screen: Screen) -> None:
    screen.say()
    screen.say("Dead letters", "bold")
    for letter in dead_letters:
        screen.say(f"    {letter.message_id}  {printable(letter.body)}")
        screen.say_all(f"        {letter.reason}", "red")


def _conclude(verdicts: Sequence[Verdict], seconds: float, screen: Screen) -> int:
    screen.say()
    screen.say("Verdict", "bold")
    for verdict in verdicts:
        word, style = ("WRONG", "red") if verdict.differences else ("ok   ", "green")
        screen.say(f"    {word}  {verdict.subject:<18} {verdict.expected}", style)
        for difference in verdict.differences:
            screen.say_all(f"           {difference}")
    wrong = sum(1 for verdict in verdicts if verdict.differences)
    screen.say()
    if wrong:
        screen.say(f"{wrong} of {len(verdicts)} did not end as they must ({seconds:.1f} s).", "bold red")
        return 1
    screen.say(f"Everything ended as its messages say ({seconds:.1f} s).", "bold green")
    screen.say()
    screen.say("What to try next", "bold")
    for command, what in NEXT.items():
        screen.say_all(f"    {command:<38} {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
