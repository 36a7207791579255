"""The tiler's contract: an SQS record becomes a message, or is refused with one reason (pure)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Final, TypeGuard

from handler.envelopes import envelope_of
from handler.outcomes import Outcome
from handler.strict_json import RepeatedKey, decode_object, describe, encode, replace_surrogates
from handler.tiles import tiles_url

MAX_OBJECT_BYTES = 4 * 1024 * 1024  # a status object stays under it
# That has room for any message that SQS takes (1 MiB): written again, it is at most 3.8 times as large
# (`9e15,` becomes `9000000000000000.0,`). The rest is for what the status object adds.
MAX_FIELDS_BYTES = MAX_OBJECT_BYTES - 128 * 1024

# What a status object adds; a message's own fields of these names are dropped.
RESERVED_FIELDS = frozenset(
    {
        "jobId",
        "messageId",
        "sentAt",
        "droppedBefore",
        "tileJson",
        "attempt",
        "updatedAt",
        "history",
        "catalog",
    }
)

# A jobId becomes part of an S3 key: it has no character that means something in a path.
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,255}")

# The mosaic step builds its JSON by string interpolation and escapes nothing: all text between the last
# opening and the last closing quote is the exception's.
_UNESCAPED_FAILURE = re.compile(
    r'\s*\{\s*"jobId"\s*:\s*"(?P<jobId>[^"\\]*)"\s*,\s*"stage"\s*:\s*"mosaic"\s*,'
    r'\s*"status"\s*:\s*"FAILED"\s*,\s*"error"\s*:\s*"'
)


class InvalidMessage(Exception):
    """Raised when a message can never become part of a job's status, however often it is delivered."""

    outcome: ClassVar[Outcome] = Outcome.INVALID
    job_id: str | None = None  # whose message it is, where that was understood


class Step(IntEnum):
    """A (stage, status) pair, in the order in which a job goes through them."""

    CHUNK_STARTED = 0
    CHUNK_FAILED = 1
    CHUNK_FINISHED = 2
    MOSAIC_STARTED = 3
    MOSAIC_FAILED = 4
    MOSAIC_FINISHED = 5


STEPS: Final[Mapping[tuple[str, str], Step]] = {
    (stage, status): Step[f"{stage}_{status}".upper()]
    for stage in ("chunk", "mosaic")
    for status in ("STARTED", "FAILED", "FINISHED")
}


@dataclass(frozen=True, slots=True)
class Event:
    """What one message says about its job."""

    message_id: str  # SQS's messageId
    sent_at: int  # SQS's SentTimestamp, in milliseconds since the epoch: the only clock there is
    step: Step
    fields: Mapping[str, Any]  # all of the message's fields but the reserved ones


@dataclass(frozen=True, slots=True)
class Message:
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
    job_id = _take_job_id(fields)
    try:
        step = _checked_step(fields)
        event = Event(message_id, int(sent_timestamp), step, without_reserved(fields))
        check_size(event, len(body))
    except InvalidMessage as error:
        error.job_id = job_id
        raise
    return Message(job_id, event, recovered)


def step_of(fields: Mapping[str, Any]) -> Step | None:
    """Return the step that a stage and a status name, or None if they name none."""
    stage, status = fields.get("stage"), fields.get("status")
    return STEPS.get((stage, status)) if isinstance(stage, str) and isinstance(status, str) else None


def is_images(value: object) -> TypeGuard[list[str]]:
    """Return whether a value can be a finished mosaic's images: a list of strings."""
    return isinstance(value, list) and all(isinstance(image, str) for image in value)


def without_reserved(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields without the reserved ones."""
    return {name: value for name, value in fields.items() if name not in RESERVED_FIELDS}


def identifying_fields(event: Event) -> dict[str, Any]:
    """Return the least that an entry must say: its step, and of a mosaic FINISHED also target and images."""
    names = ["stage", "status"] + ["target", "images"] * (event.step is Step.MOSAIC_FINISHED)
    return {name: value for name, value in event.fields.items() if name in names}


def check_size(event: Event, length: int) -> None:
    """Raise InvalidMessage for an event that no status object can hold; none that came by SQS is so large.

    The object holds it whole at the top, and at least its identifying fields in the history. `length` is the
    number of characters that it was read from.
    """
    # A character becomes at most six bytes, or four bytes twice: a shorter text need not be measured.
    if length > MAX_FIELDS_BYTES // 8 and (
        len(encode(event.fields)) + len(encode(identifying_fields(event))) > MAX_FIELDS_BYTES
    ):
        raise InvalidMessage("too large for a status object, and for SQS")


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
    if not tail.endswith("}"):
        return None
    tail = tail[:-1].rstrip()
    if not tail.endswith('"'):
        return None
    found = {"jobId": head["jobId"], "stage": "mosaic", "status": "FAILED", "error": tail[:-1]}
    return {name: replace_surrogates(value) for name, value in found.items()}


def _take_job_id(fields: dict[str, Any]) -> str:
    if "jobId" not in fields:
        envelope = envelope_of(fields)
        raise InvalidMessage(f"the body is {envelope}" if envelope else "jobId is missing")
    job_id = fields.pop("jobId")
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
    if step is Step.MOSAIC_FINISHED:
        _check_finished_mosaic(fields)
    return step


def _check_finished_mosaic(fields: Mapping[str, Any]) -> None:
    if missing := [name for name in ("target", "images") if name not in fields]:
        verb = "is" if len(missing) == 1 else "are"
        raise InvalidMessage(f"{' and '.join(missing)} {verb} missing from a finished mosaic")
    if tiles_url(fields["target"]) is None:
        raise InvalidMessage("target is not a usable s3://, s3n://, s3a://, http:// or https:// URL")
    if not is_images(fields["images"]):
        raise InvalidMessage("images is not a list of strings")
