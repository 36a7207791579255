"""The tiler's contract: an SQS record becomes a message, or is refused with one reason (pure)."""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from handler.events import Event, Step, is_images, step_of
from handler.outcomes import MessageError, Outcome
from handler.shortening import fits
from handler.status_object import without_reserved
from handler.strict_json import RepeatedKey, decode_object, describe, replace_surrogates
from handler.tiles import tiles_url

# A jobId becomes part of an S3 key: it has no character that means something in a path.
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,255}")

# The mosaic step builds its JSON by string interpolation and escapes nothing: all text between the last
# opening and the last closing quote is the exception's.
_UNESCAPED_FAILURE = re.compile(
    r'\s*\{\s*"jobId"\s*:\s*"(?P<jobId>[^"\\]*)"\s*,\s*"stage"\s*:\s*"mosaic"\s*,'
    r'\s*"status"\s*:\s*"FAILED"\s*,\s*"error"\s*:\s*"'
)


class InvalidMessage(MessageError):
    """Raised when a message can never become part of a job's status, however often it is delivered."""

    outcome = Outcome.INVALID
    job_id: str | None = None  # whose message it is, where that was understood


class Message(NamedTuple):
    """A message that was understood."""

    job_id: str  # safe to be part of an S3 key
    event: Event
    recovered: bool  # whether it arrived as malformed JSON


def parse(message_id: str, sent_timestamp: object, body: object) -> Message:
    """Return the message in an SQS record: its messageId, SentTimestamp and body.

    Raises:
        InvalidMessage: when it is none of the tiler's; its text is the reason.
    """
    if not isinstance(body, str):
        raise InvalidMessage("the record has no body")
    if not isinstance(sent_timestamp, str) or not re.fullmatch(r"[0-9]{1,14}", sent_timestamp):
        raise InvalidMessage("the record has no SentTimestamp in milliseconds")
    fields, recovered = _read_body(body)
    job_id = _job_id(fields)
    try:
        event = Event(message_id, int(sent_timestamp), _checked_step(fields), without_reserved(fields))
        if not fits(event, len(body)):
            raise InvalidMessage("too large for a status object, and for SQS")
    except InvalidMessage as error:
        error.job_id = job_id
        raise
    return Message(job_id, event, recovered)


def _read_body(body: str) -> tuple[dict[str, Any], bool]:
    """Return a body's fields, and whether they were recovered from malformed JSON."""
    try:
        return decode_object(body), False
    except ValueError as error:
        # A repeated key may stand in an unescaped text. All else that is refused is JSON as it was meant.
        failure = _recover(body) if isinstance(error, json.JSONDecodeError | RepeatedKey) else None
        if failure is None:
            raise InvalidMessage(f"the body is not a JSON object: {error}") from error
        return failure, True


def _recover(body: str) -> dict[str, Any] | None:
    """Return the fields of a mosaic failure whose text was not escaped, with that text as it is."""
    head = _UNESCAPED_FAILURE.match(body)
    if not head:
        return None
    # Without a pattern: `.*"\s*\}\s*` would try every quote of a megabyte of them.
    tail = body[head.end() :].rstrip()
    text = tail.removesuffix("}").rstrip()
    if not tail.endswith("}") or not text.endswith('"'):
        return None
    found = {"jobId": head["jobId"], "stage": "mosaic", "status": "FAILED", "error": text[:-1]}
    return {name: replace_surrogates(value) for name, value in found.items()}


def _job_id(fields: Mapping[str, Any]) -> str:
    if "jobId" not in fields:
        envelope = _envelope(fields)
        raise InvalidMessage(f"the body is {envelope}" if envelope else "jobId is missing")
    job_id = fields["jobId"]
    if not isinstance(job_id, str) or not _JOB_ID.fullmatch(job_id):
        raise InvalidMessage(
            "jobId is not 1 to 256 letters, digits, '.', '_' or '-' that begin with a letter or digit: "
            + describe(job_id)
        )
    return job_id


def _checked_step(fields: Mapping[str, Any]) -> Step:
    """Return the step that a message's fields name, once they have all that it needs."""
    step = step_of(fields)
    if step is None:
        stage, status = describe(fields.get("stage")), describe(fields.get("status"))
        raise InvalidMessage(f"unknown stage or status: {stage}, {status}")
    if step is not Step.MOSAIC_FINISHED:
        return step
    if missing := [name for name in ("target", "images") if name not in fields]:
        verb = "is" if len(missing) == 1 else "are"
        raise InvalidMessage(f"{' and '.join(missing)} {verb} missing from a finished mosaic")
    if tiles_url(fields["target"]) is None:
        raise InvalidMessage("target is not a usable s3://, s3n://, s3a://, http:// or https:// URL")
    if not is_images(fields["images"]):
        raise InvalidMessage("images is not a list of strings")
    return step


def _envelope(fields: Mapping[str, Any]) -> str | None:
    """Return what another AWS service put around a message or in its place, and what to do; None if unknown.

    SNS: https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
    EventBridge: https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
    S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    kind = fields.get("Type")
    if "Message" in fields and kind in (
        "Notification",
        "SubscriptionConfirmation",
        "UnsubscribeConfirmation",
    ):
        name = "envelope" if kind == "Notification" else kind
        return f"an SNS {name}: turn on raw message delivery for the queue's subscription"
    if "detail-type" in fields and ("detail" in fields or "source" in fields):
        return (
            "an EventBridge envelope: have the rule's target send the event's detail alone "
            "(InputPath $.detail)"
        )
    if fields.get("Service") == "Amazon S3" and fields.get("Event") == "s3:TestEvent":
        return "an S3 test event, which a bucket sends once it is to notify a queue: name another queue there"
    records = fields.get("Records")
    if not isinstance(records, list):
        return None
    first = records[0] if records and isinstance(records[0], dict) else {}
    sources = {
        "aws:s3": "an S3 event notification: have the bucket notify another queue",
        "aws:sqs": "an SQS event as Lambda receives it: send the body of each of its Records",
    }
    unknown = "an AWS event (Records): send the tiler's messages alone"
    return sources.get(str(first.get("eventSource")), unknown)
