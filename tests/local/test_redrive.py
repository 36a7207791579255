"""From the dead-letter queue and back: by SQS's own call, and one by one from here."""

import io
import json
import os
import re
import signal
import threading
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cli import letters, move_by_hand, move_task
from local.cli.letters import Hand, Letter, job_of, refusal
from local.cli.move_by_hand import Rules, Selection, Way, move_one_by_one
from local.cli.move_task import MoveFailed, UnknownCall, move_all
from local.cli.queues import NoQueue, attributes, count, find_dead_letter_queue
from local.stack.embedded import Stack
from tests import processes
from tests.conftest import Aws, make_client
from tests.factories import body
from tests.local.move_tasks import EARLIER, MoveTasks
from tests.local.tools import NAMED, at_a_terminal, program, tool

ARN = "arn:aws:sqs:us-east-1:123456789012:oam-status-dead-letters"
DENIED = json.dumps({"__type": "com.amazonaws.sqs#AccessDenied", "message": "not authorized to perform"})
UNKNOWN = json.dumps({"__type": "com.amazonaws.sqs#UnknownOperationException", "message": "no such call"})


def bodies(stack: Stack, url: str) -> list[str]:
    messages = stack.sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0, WaitTimeSeconds=0
    ).get("Messages", [])
    return sorted(message["Body"] for message in messages)


def nothing(moved: int, total: int) -> None: ...


EVERYTHING = Rules(lambda _: None)


# SQS's own move


def test_sqss_own_move_is_followed_to_its_end(stack: Stack, aws: Aws) -> None:
    seen: list[tuple[int, int]] = []
    with MoveTasks(stack) as tasks:
        # WHEN
        moved = move_all(
            aws.client("sqs", tasks.url), ARN, 3, 50, lambda *how: seen.append(how), interval=0.02
        )
    # THEN it began with the rate asked for, was shown on its way, and has moved all
    (started,) = (asked for action, asked in tasks.asked if action == "StartMessageMoveTask")
    assert started["MaxNumberOfMessagesPerSecond"] == 50
    assert moved == 3
    assert seen == sorted(set(seen))
    assert seen[-1] == (3, 3)
    assert len(bodies(stack, stack.queue_url)) == 3
    assert bodies(stack, stack.dead_letter_queue_url) == []


@pytest.mark.parametrize("unlisted", [0, 3], ids=["listed at once", "listed later"])
@pytest.mark.parametrize(
    "earlier",
    [
        (EARLIER,),
        (EARLIER | {"Status": "FAILED", "FailureReason": "of another day"}, EARLIER),
        (EARLIER | {"Status": "RUNNING", "TaskHandle": "another"},),
    ],
    ids=["one that ended", "one that failed", "one that runs"],
)
@pytest.mark.parametrize("pause", [0.1, 0], ids=["slow", "over before it is seen"])
def test_another_move_in_the_list_is_not_taken_for_it(
    stack: Stack, aws: Aws, unlisted: int, earlier: tuple[dict[str, Any], ...], pause: float
) -> None:
    # GIVEN other moves, which are listed before it
    with MoveTasks(stack, unlisted=unlisted, earlier=earlier, pause=pause) as tasks:
        # WHEN
        moved = move_all(aws.client("sqs", tasks.url), ARN, 3, None, nothing, interval=0.05)
    # THEN it is its own end that was waited for
    assert moved == 3
    assert len(bodies(stack, stack.queue_url)) == 3


def test_a_move_that_sqs_gives_up_is_a_failure_with_sqss_reason(stack: Stack, aws: Aws) -> None:
    with (
        MoveTasks(stack, fails_after=1) as tasks,
        pytest.raises(MoveFailed, match=r"FAILED after 1 messages\. AccessDenied"),
    ):
        move_all(aws.client("sqs", tasks.url), ARN, 3, None, nothing, interval=0.02)


def test_a_move_that_is_never_listed_is_a_failure_and_is_stopped(
    stack: Stack, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(move_task, "LONGEST_UNLISTED", 3)
    with MoveTasks(stack, unlisted=99) as tasks, pytest.raises(MoveFailed, match="does not list"):
        move_all(aws.client("sqs", tasks.url), ARN, 3, None, nothing, interval=0.02)
    assert tasks.calls["CancelMessageMoveTask"] == 1


def test_who_stops_it_stops_sqss_move(stack: Stack, aws: Aws) -> None:
    def stop(moved: int, total: int) -> None:
        raise KeyboardInterrupt

    with MoveTasks(stack) as tasks, pytest.raises(KeyboardInterrupt):
        move_all(aws.client("sqs", tasks.url), ARN, 3, None, stop, interval=0.02)
    assert [action for action, _ in tasks.asked][-1] == "CancelMessageMoveTask"


def test_a_move_that_can_no_longer_be_followed_is_stopped(stack: Stack, aws: Aws) -> None:
    with MoveTasks(stack) as tasks, pytest.raises(ClientError, match="not authorized"):
        move_all(
            aws.client("sqs", tasks.url),
            *(ARN, 3, None),
            lambda *_: tasks.answers.update(ListMessageMoveTasks=(403, DENIED.encode())),
            interval=0.02,
        )
    assert tasks.calls["CancelMessageMoveTask"] == 1


def test_a_move_that_cannot_be_stopped_is_said_to_go_on(stack: Stack, aws: Aws) -> None:
    def stop(moved: int, total: int) -> None:
        raise KeyboardInterrupt

    answers = {"CancelMessageMoveTask": (403, DENIED.encode())}
    with MoveTasks(stack, answers=answers) as tasks, pytest.raises(MoveFailed, match="SQS goes on"):
        move_all(aws.client("sqs", tasks.url), ARN, 3, None, stop, interval=0.02)


@pytest.mark.timeout(30)
def test_what_is_a_dead_letter_again_at_once_is_not_moved_for_ever(stack: Stack, aws: Aws) -> None:
    # GIVEN a function so quick that what SQS moves is back at once
    with MoveTasks(stack, circles=True, pause=0.05) as tasks:
        # WHEN
        moved = move_all(aws.client("sqs", tasks.url), ARN, 3, None, nothing, interval=0.02)
        # THEN it ends when as many were moved as there were, and SQS's move is stopped
        assert 3 <= moved <= 6
        assert tasks.calls["CancelMessageMoveTask"] == 1


def test_a_move_that_ended_by_itself_need_not_be_stopped(stack: Stack, aws: Aws) -> None:
    gone = json.dumps({"__type": "com.amazonaws.sqs#ResourceNotFoundException", "message": "it has ended"})
    with MoveTasks(stack, answers={"CancelMessageMoveTask": (400, gone.encode())}) as tasks:
        assert move_all(aws.client("sqs", tasks.url), ARN, 2, None, nothing, interval=0.02) >= 2


REFUSED = {
    "denied": (403, DENIED),
    "denied, as the older protocol has it": (400, '{"__type": "AccessDeniedException"}'),
    "denied by an endpoint's policy": (403, "<html>Forbidden</html>"),
    "throttled": (400, '{"__type": "com.amazonaws.sqs#RequestThrottled"}'),
    "another move runs": (400, '{"__type": "com.amazonaws.sqs#UnsupportedOperation"}'),
    "no such queue": (400, '{"__type": "com.amazonaws.sqs#ResourceNotFoundException"}'),
    "wrong keys": (403, '{"__type": "InvalidClientTokenId"}'),
    "broken": (500, "<html>Internal Server Error</html>"),
}


@pytest.mark.parametrize("call", ["StartMessageMoveTask", "ListMessageMoveTasks"])
@pytest.mark.parametrize("answer", REFUSED.values(), ids=REFUSED)
def test_a_refused_move_is_an_error_and_nothing_is_moved_by_hand(
    stack: Stack, call: str, answer: tuple[int, str]
) -> None:
    # GIVEN a server that refuses the call, at an address that nobody would know for AWS's
    with MoveTasks(stack, answers={call: (answer[0], answer[1].encode())}) as tasks:
        variables = NAMED | {"AWS_ENDPOINT_URL": tasks.url, "OAM_STATUS_SQS_QUEUE_URL": stack.queue_url}
        variables |= {"AWS_MAX_ATTEMPTS": "1"}
        # WHEN
        done = tool("redrive", "--all", "--yes", **variables)
    # THEN
    assert done.returncode == 1, done.stderr
    assert "The redrive failed: " in done.stderr
    assert call in done.stderr
    assert not tasks.calls["SendMessage"]
    assert len(bodies(stack, stack.dead_letter_queue_url)) == 3


@pytest.mark.parametrize(
    "answer",
    [
        (501, '{"__type": "UnknownOperationException"}'),
        (501, '{"__type": "InternalFailure", "message": "not yet implemented"}'),
        (404, "The requested resource could not be found."),
        (400, UNKNOWN),
        (400, '{"__type": "InvalidAction"}'),
    ],
    ids=["moto", "LocalStack", "ElasticMQ before 1.6", "AWS's JSON", "AWS's older protocol"],
)
def test_a_server_that_does_not_know_the_call_has_it_moved_by_hand_and_that_is_said(
    stack: Stack, answer: tuple[int, str]
) -> None:
    unknown = (answer[0], answer[1].encode())
    with MoveTasks(
        stack, answers=dict.fromkeys(("StartMessageMoveTask", "ListMessageMoveTasks"), unknown)
    ) as tasks:
        variables = NAMED | {"AWS_ENDPOINT_URL": tasks.url, "OAM_STATUS_SQS_QUEUE_URL": stack.queue_url}
        done = tool("redrive", "--all", "--yes", **variables)
        with pytest.raises(UnknownCall):
            move_all(make_client("sqs", tasks.url), ARN, 3, None, nothing)
    assert done.returncode == 0, done.stderr
    assert "This server has no move of its own" in done.stderr
    assert "Moved 3 of 3 messages" in done.stdout
    assert len(bodies(stack, stack.queue_url)) == 3


# One by one


def way(stack: Stack, rate: int | None = None) -> Way:
    return Way(stack.dead_letter_queue_url, stack.queue_url, rate)


def test_what_would_be_refused_again_stays_and_the_others_move(stack: Stack) -> None:
    result = move_one_by_one(stack.sqs, way(stack), 3, Rules(refusal))
    assert result.moved == 2
    (kept,) = result.kept
    assert (kept.excerpt, result.not_put_back) == ("poison", 0)
    assert "not a JSON object" in kept.reason
    # AND it can be seen again at once
    assert bodies(stack, stack.dead_letter_queue_url) == ["poison"]
    assert "poison" not in bodies(stack, stack.queue_url)


def test_messages_move_at_the_rate_asked_for(stack: Stack) -> None:
    began, seen = time.monotonic(), list[tuple[int, int]]()
    rules = Rules(lambda _: None, on_seen=lambda *how: seen.append(how))
    assert move_one_by_one(stack.sqs, way(stack, 10), 3, rules).moved == 3
    assert time.monotonic() - began >= 0.3
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_oldest_moves_first_and_times_differ(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN dead letters that SQS gives in any order
    stack.sqs.purge_queue(QueueUrl=stack.dead_letter_queue_url)
    for number in range(12):
        stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=f"{number:02d}")
        time.sleep(0.002)
    given = Hand.take
    sent: list[str] = []

    def reverse(self: Hand, limit: int) -> list[Letter]:
        receive = self._sqs.receive_message

        def backwards(**asked: Any) -> Any:
            answer = receive(**asked)
            return {**answer, "Messages": answer.get("Messages", [])[::-1]}

        with monkeypatch.context() as patched:
            patched.setattr(self._sqs, "receive_message", backwards)
            return given(self, limit)

    monkeypatch.setattr(Hand, "take", reverse)
    # WHEN
    move_one_by_one(stack.sqs, way(stack), 12, EVERYTHING)
    # THEN
    messages: list[Any] = []
    while len(messages) < 12:
        messages += stack.sqs.receive_message(
            QueueUrl=stack.queue_url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["SentTimestamp"]
        )["Messages"]
    messages.sort(key=lambda message: int(message["Attributes"]["SentTimestamp"]))
    sent = [message["Body"] for message in messages]
    assert sent == [f"{number:02d}" for number in range(12)]
    assert len({message["Attributes"]["SentTimestamp"] for message in messages}) == 12


def test_a_letter_keeps_its_attributes(stack: Stack) -> None:
    stack.sqs.purge_queue(QueueUrl=stack.dead_letter_queue_url)
    given: Any = {"tiler": {"DataType": "String", "StringValue": "seven"}}
    stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody="x", MessageAttributes=given)
    assert move_one_by_one(stack.sqs, way(stack), 1, EVERYTHING).moved == 1
    (message,) = stack.sqs.receive_message(QueueUrl=stack.queue_url, MessageAttributeNames=["All"])[
        "Messages"
    ]
    assert message["MessageAttributes"]["tiler"]["StringValue"] == "seven"


def test_more_letters_than_are_held_at_once_move_in_portions(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(move_by_hand, "PORTION", 4)
    for number in range(20):
        text = body("chunk", "STARTED", f"job-{number}") if number % 2 else f"poison {number}"
        stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=text)
    held: list[int] = []
    result = move_one_by_one(
        stack.sqs,
        way(stack),
        23,
        Rules(
            refusal,
            on_moved=lambda *_: held.append(count(stack.sqs, stack.dead_letter_queue_url).in_flight),
        ),
    )
    assert (result.moved, len(result.kept)) == (12, 11)
    # THEN no more were ever held than a portion and what stays
    assert max(held) <= 4 + 11
    assert count(stack.sqs, stack.dead_letter_queue_url).visible == 11


def test_a_portion_is_no_more_than_what_moves_at_its_rate_while_it_is_held(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held no longer can be taken by another: it would move twice."""
    monkeypatch.setattr(move_by_hand, "HOLD", 10)
    for number in range(20):
        stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=f"poison {number}")
    held: list[int] = []
    stays = Rules(
        lambda _: "stays",
        on_seen=lambda *_: held.append(count(stack.sqs, stack.dead_letter_queue_url).in_flight),
    )
    move_one_by_one(stack.sqs, way(stack, 1), 23, stays)
    assert held[0] < 10


def test_a_hand_takes_no_more_than_fits_into_memory(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "MOST_BYTES", 1_000)
    stack.sqs.purge_queue(QueueUrl=stack.dead_letter_queue_url)
    for number in range(25):
        stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=f"{number:02d}" + "x" * 198)
    with Hand(stack.sqs, stack.dead_letter_queue_url, 60) as hand:
        # THEN they come in tens, as SQS gives them, and none is lost
        taken = [hand.take(25) for _ in range(4)]
    assert [len(some) for some in taken] == [10, 10, 5, 0]
    assert len({letter.body for some in taken for letter in some}) == 25


@pytest.mark.timeout(30)
def test_what_comes_back_while_it_moves_is_not_moved_again(stack: Stack) -> None:
    # GIVEN a function so quick that what is sent is a dead letter again at once, with its messageId
    source = stack.dead_letter_queue_url
    assert move_one_by_one(stack.sqs, Way(source, source), 99, EVERYTHING).moved == 3


def test_no_more_move_than_there_were_at_the_start(stack: Stack) -> None:
    def another(letter: Letter, message_id: str) -> None:
        stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=body("chunk", "STARTED"))

    assert move_one_by_one(stack.sqs, way(stack), 3, Rules(lambda _: None, on_moved=another)).moved == 3


def test_what_could_not_be_deleted_is_named_and_nothing_more_is_sent(stack: Stack, aws: Aws) -> None:
    with MoveTasks(stack, answers={"DeleteMessage": (403, DENIED.encode())}) as tasks:
        sqs = aws.client("sqs", tasks.url)
        with pytest.raises(MoveFailed, match="was sent, and is a dead letter still"):
            move_one_by_one(sqs, way(stack), 3, EVERYTHING)
    assert tasks.calls["SendMessage"] == 1
    # AND the others can be seen again at once
    assert len(bodies(stack, stack.dead_letter_queue_url)) == 3


def test_what_cannot_be_put_back_is_counted(stack: Stack, aws: Aws) -> None:
    with MoveTasks(stack, answers={"ChangeMessageVisibilityBatch": (403, DENIED.encode())}) as tasks:
        result = move_one_by_one(aws.client("sqs", tasks.url), way(stack), 3, Rules(refusal))
    assert (result.moved, result.not_put_back) == (2, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_between_a_send_and_its_delete_waits_for_the_delete(
    stack: Stack, aws: Aws, number: signal.Signals
) -> None:
    # GIVEN a signal right after a letter was sent
    before = signal.signal(number, signal.default_int_handler)
    with MoveTasks(stack) as tasks:
        sqs = aws.client("sqs", tasks.url)
        send = sqs.send_message

        def interrupted(**asked: Any) -> Any:
            answer = send(**asked)
            os.kill(os.getpid(), number)
            return answer

        sqs.send_message = interrupted
        # WHEN
        with pytest.raises(KeyboardInterrupt):
            move_one_by_one(sqs, way(stack), 3, EVERYTHING)
    # THEN no letter is in both queues, none is lost, and the others can be seen at once
    assert tasks.calls["DeleteMessage"] == 1
    assert len(bodies(stack, stack.queue_url)) == 1
    assert len(bodies(stack, stack.dead_letter_queue_url)) == 2
    assert signal.signal(number, before) is signal.default_int_handler


def test_only_what_is_selected_moves(stack: Stack) -> None:
    # GIVEN letters of a job, one of them poison, beside others
    for text in (body("chunk", "STARTED", "mine"), '{"jobId": "mine", "stage": "none"}'):
        stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=text)
    told: list[str | None] = []
    rules = Rules(
        refusal,
        Selection(frozenset({"mine", "absent"}), frozenset({"no such message"})),
        lambda letter, _: told.append(job_of(letter.body)),
    )
    # WHEN
    result = move_one_by_one(stack.sqs, way(stack), 5, rules)
    # THEN it is they alone, and each name with a letter is known
    assert (result.moved, told, set(result.found)) == (1, ["mine"], {"mine"})
    assert [kept.job_id for kept in result.kept] == ["mine"]
    assert bodies(stack, stack.queue_url) == [body("chunk", "STARTED", "mine")]
    # AND all others can be seen again at once
    assert len(bodies(stack, stack.dead_letter_queue_url)) == 4


def test_a_letter_of_another_queue_stays(stack: Stack, aws: Aws) -> None:
    # GIVEN a dead-letter queue of two queues, whose letters say where they came from, as AWS's do
    letter = {
        "MessageId": "foreign",
        "ReceiptHandle": "r",
        "Body": body("chunk", "STARTED"),
        "Attributes": {
            "SentTimestamp": "1700000000000",
            "DeadLetterQueueSourceArn": "arn:aws:sqs:us-east-1:123456789012:another",
        },
    }
    answers = {"ReceiveMessage": (200, json.dumps({"Messages": [letter]}).encode())}
    with MoveTasks(stack, answers=answers) as tasks:
        variables = NAMED | {"AWS_ENDPOINT_URL": tasks.url, "OAM_STATUS_SQS_QUEUE_URL": stack.queue_url}
        done = tool("redrive", "--yes", **variables)
    assert "it came from another queue: arn:aws:sqs:us-east-1:123456789012:another" in done.stdout
    assert "Moved 0 of 3" in done.stdout
    assert not tasks.calls["SendMessage"]


def test_a_queue_without_a_dead_letter_queue_is_named(stack: Stack) -> None:
    with pytest.raises(NoQueue, match="has no dead-letter queue"):
        find_dead_letter_queue(stack.sqs, stack.dead_letter_queue_url)


# As people run it


def test_an_operator_reads_the_dead_letters_with_reasons_then_redrives_them(stack: Stack, port: str) -> None:
    # GIVEN one that the catalog refused
    status: dict[str, Any] = {"stage": "COMPLETE", "status": "SUCCESS"}
    status |= {"catalog": {"state": "FAILED", "error": "HTTP 400: no such image"}}
    stack.s3.put_object(
        Bucket="oam-status", Key="status/refused-status.json", Body=json.dumps(status).encode()
    )
    # WHEN they are listed, twice
    listed = tool("dead-letters", "--port", port)
    again = tool("dead-letters", "--port", port, "--json", "--limit", "2")
    # THEN each has its reason, and all are still there
    assert listed.returncode == 0, listed.stderr
    assert "the body is not a JSON object" in listed.stdout
    assert "a valid message; of job refused the catalog said: HTTP 400: no such image" in listed.stdout
    assert "3 in the dead-letter queue" in listed.stderr
    first = json.loads(again.stdout.splitlines()[0])
    assert (first["jobId"], first["body"], first["received"] >= 2) == (None, "poison", True)
    assert "2 in the dead-letter queue, and about 1 more, not listed: --all lists them." in again.stderr
    assert again.returncode == 1
    # AND with --all the limit is none
    everything = tool("dead-letters", "--port", port, "--json", "--limit", "2", "--all")
    assert (everything.returncode, len(everything.stdout.splitlines())) == (0, 3)
    assert count(stack.sqs, stack.dead_letter_queue_url).visible == 3
    # WHEN they are sent back
    moved = tool("redrive", "--port", port)
    # THEN the poison stays, and is listed
    assert moved.returncode == 0, moved.stderr
    assert "Moved 2 of 3 messages" in moved.stdout
    assert re.search(r"^stays \S+  poison\n    the body is not a JSON object", moved.stdout, re.MULTILINE)
    assert "1 stays, for the reason above (--all moves it)." in moved.stderr
    assert re.search(r"^sent \S+  good$", moved.stdout, re.MULTILINE)
    assert "Moved 0 of 1 message back" in tool("redrive", "--port", port).stdout
    # AND --all moves it too
    moved = tool("redrive", "--port", port, "--all")
    assert "Moved 1 of 1 message back" in moved.stdout
    empty = tool("redrive", "--port", port)
    assert (empty.returncode, empty.stdout) == (0, "No message was moved.\n")
    assert "The dead-letter queue is empty.\n" in empty.stderr
    assert len(bodies(stack, stack.queue_url)) == 3


def test_letters_are_redriven_by_their_job_or_messageid(stack: Stack, port: str) -> None:
    # GIVEN the messageId of the poison
    listed = tool("dead-letters", "--json", "--port", port)
    letters = {letter["body"]: letter["messageId"] for letter in map(json.loads, listed.stdout.splitlines())}
    # WHEN a job is named, and one that has no letter, THEN that is said
    done = tool("redrive", "--job", "good", "--job", "absent", "--port", port)
    assert done.returncode == 1
    assert re.search(r"^sent \S+  good\nMoved 1 of 1 message back", done.stdout)
    assert "No dead letter of job absent was seen.\n" in done.stderr
    # WHEN the poison is named, THEN it stays, and it moves with --all
    stays = tool("redrive", "--message", letters["poison"], "--json", "--port", port)
    assert stays.returncode == 1
    kept, counts = map(json.loads, stays.stdout.splitlines())
    assert (kept["messageId"], counts) == (letters["poison"], {"moved": 0, "of": 1, "stay": 1})
    moved = tool("redrive", "--message", letters["poison"], "--all", "--json", "--port", port)
    assert moved.returncode == 0, moved.stderr
    first, counts = map(json.loads, moved.stdout.splitlines())
    assert (first["messageId"], counts) == (letters["poison"], {"moved": 1, "of": 1, "stay": 0})
    assert bodies(stack, stack.queue_url) == sorted([body("chunk", "STARTED", "good"), "poison"])
    assert bodies(stack, stack.dead_letter_queue_url) == [body("mosaic", "FINISHED", "refused")]


@pytest.mark.parametrize("some", [1, 3], ids=["beside others", "alone"])
def test_letters_in_flight_are_counted_and_said_to_come_back(stack: Stack, port: str, some: int) -> None:
    # GIVEN letters that somebody looks at in the console
    stack.sqs.receive_message(
        QueueUrl=stack.dead_letter_queue_url, MaxNumberOfMessages=some, VisibilityTimeout=600
    )
    # WHEN
    listed, done = tool("dead-letters", "--port", port), tool("redrive", "--all", "--port", port)
    # THEN
    assert "empty" not in done.stdout
    for said in (listed.stderr, done.stderr):
        assert f"{some} in flight" in said
        assert f"{'it comes' if some == 1 else 'they come'} back within 30 seconds" in said
    # AND neither ends as if it had seen all
    assert (listed.returncode, done.returncode) == (1, 1)
    assert ("Moved 2 of 2" in done.stdout) == (some == 1)


def test_a_job_whose_letter_is_in_flight_is_not_said_to_have_none(stack: Stack, port: str) -> None:
    # GIVEN that all letters are being looked at
    stack.sqs.receive_message(
        QueueUrl=stack.dead_letter_queue_url, MaxNumberOfMessages=3, VisibilityTimeout=600
    )
    # WHEN
    done = tool("redrive", "--job", "good", "--message", "some-id", "--port", port)
    # THEN
    assert (done.returncode, done.stdout) == (1, "No message was moved.\n")
    assert "No dead letter of job good was seen; 3 in flight may be its.\n" in done.stderr
    assert "No dead letter with the messageId some-id was seen; 3 in flight may be it.\n" in done.stderr


def test_the_rate_of_the_command_line_is_the_moves(stack: Stack) -> None:
    with MoveTasks(stack) as tasks:
        variables = NAMED | {"AWS_ENDPOINT_URL": tasks.url, "OAM_STATUS_SQS_QUEUE_URL": stack.queue_url}
        done = tool("redrive", "--all", "--yes", "--rate", "50", **variables)
    assert done.returncode == 0, done.stderr
    (started,) = (asked for action, asked in tasks.asked if action == "StartMessageMoveTask")
    assert started["MaxNumberOfMessagesPerSecond"] == 50


@pytest.mark.parametrize("rate", ["0", "501", "fast", "-1"])
def test_a_rate_that_sqs_does_not_take_is_refused_before_anything_moves(
    stack: Stack, port: str, rate: str
) -> None:
    done = tool("redrive", "--port", port, "--rate", rate)
    assert done.returncode == 2
    assert len(bodies(stack, stack.dead_letter_queue_url)) == 3


def named(stack: Stack) -> dict[str, str]:
    """Name the stack as any other is named, so that it does not count as the embedded one."""
    return NAMED | {"AWS_ENDPOINT_URL": stack.url, "OAM_STATUS_SQS_QUEUE_URL": stack.queue_url}


def test_without_a_terminal_and_yes_another_stack_is_left_alone(stack: Stack) -> None:
    done = tool("redrive", **named(stack))
    assert (done.returncode, done.stdout) == (2, "")
    assert "--yes" in done.stderr
    assert len(bodies(stack, stack.dead_letter_queue_url)) == 3
    # AND is not even asked
    elsewhere = named(stack) | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    assert tool("redrive", **elsewhere).returncode == 2


@pytest.mark.parametrize(
    ("answer", "code", "left"), [("y", 0, 1), ("yes", 0, 1), ("", 1, 3), ("n", 1, 3), ("x", 1, 3)]
)
def test_at_a_terminal_it_shows_what_it_will_do_and_asks(
    stack: Stack, answer: str, code: int, left: int
) -> None:
    done, shown = at_a_terminal(answer, "redrive", **named(stack))
    assert done == code, shown
    plan = (
        f"Of 3 dead letters of {stack.dead_letter_queue_url}, those that can succeed go back to "
        f"{stack.queue_url}; what the function would refuse again stays."
    )
    assert plan in shown
    assert shown.index("Stack: as the environment") < shown.index(plan) < shown.index("Go on? [y/N]")
    assert len(bodies(stack, stack.dead_letter_queue_url)) == left


def test_yes_answers_beforehand(stack: Stack) -> None:
    done = tool("redrive", "--yes", **named(stack))
    assert done.returncode == 0, done.stderr
    assert "Moved 2 of 3" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_it_and_what_is_left_can_be_seen_at_once(
    stack: Stack, port: str, number: signal.Signals
) -> None:
    # GIVEN a redrive in its midst
    command = program("redrive", "--rate", "1", "--port", port)
    with processes.start(command, stdout=-1, stderr=-1) as process:
        assert isinstance(process.stdout, io.TextIOWrapper)
        assert process.stdout.readline().startswith("sent ")
        # WHEN
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    # THEN
    assert process.returncode == 1
    assert "Stopped." in errors
    assert "Traceback" not in errors
    left = count(stack.sqs, stack.dead_letter_queue_url)
    assert (left.visible, left.in_flight) == (2, 0)
    assert attributes(stack.sqs, stack.queue_url, "ApproximateNumberOfMessages") == {
        "ApproximateNumberOfMessages": "1"
    }


def test_poison_beside_a_function_at_work_ends(stack: Stack, port: str) -> None:
    """The issue's own case: the function refuses the poison as soon as it comes."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            for message in stack.sqs.receive_message(QueueUrl=stack.queue_url).get("Messages", []):
                if message["Body"].startswith("poison"):
                    stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=message["Body"])
                stack.sqs.delete_message(QueueUrl=stack.queue_url, ReceiptHandle=message["ReceiptHandle"])

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for arguments in ([], ["--all"]):
            done = tool("redrive", "--port", port, *arguments)
            assert done.returncode == 0, done.stderr
    finally:
        stop.set()
        worker.join()
    assert bodies(stack, stack.dead_letter_queue_url) == ["poison"]
