"""What the tiler says: from an SQS record's body to an event, or a refusal with one reason (pure)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Final, TypeGuard

from handler.envelopes import envelope_of
from handler.outcomes import Outcome
from handler.tiles import tiles_url

# A status object stays under 4 MiB. That is room for any message that SQS takes (1 MiB): written again, it is
# 3.8 times as large at the most (`9e15,` becomes `9000000000000000.0,`). What is left is for what is ours.
MAX_FIELDS_BYTES = 4 * 1024 * 1024 - 128 * 1024
MAX_DEPTH = 100  # of arrays and objects in each other; the C recursion limit is some 1,000

# The names of what is ours in a status object. A message's own fields of these names have no place there.
OURS = frozenset(
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

# A jobId becomes part of an S3 key: nothing in it may mean anything to a path.
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,255}")

# The mosaic step builds its JSON by string interpolation and escapes nothing: whatever stands between the
# last opening and the last closing quote is the exception's text.
_UNESCAPED_FAILURE = re.compile(
    r'\s*\{\s*"jobId"\s*:\s*"(?P<jobId>[^"\\]*)"\s*,\s*"stage"\s*:\s*"mosaic"\s*,'
    r'\s*"status"\s*:\s*"FAILED"\s*,\s*"error"\s*:\s*"'
)


_SURROGATE = re.compile("[\ud800-\udfff]")


class InvalidMessage(Exception):
    """Raised when a message can never become part of a job's status, however often it is delivered."""

    outcome: ClassVar[Outcome] = Outcome.INVALID


class _RepeatedKey(ValueError):
    """Raised when a JSON object has a key twice."""


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
    """One message about a job."""

    message_id: str  # SQS's messageId
    sent_at: int  # SQS's SentTimestamp, in milliseconds since the epoch: the only clock there is
    step: Step  # its stage and status
    fields: Mapping[str, Any]  # all that the message says but what has a name of ours


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was understood."""

    job_id: str  # the job it is about; safe to be part of an S3 key
    event: Event  # what it says
    recovered: bool  # whether it arrived as malformed JSON


def parse(message_id: str, sent_timestamp: object, body: object) -> Message:
    """Understand one SQS message.

    Args:
        message_id: SQS's messageId.
        sent_timestamp: SQS's SentTimestamp, a string of milliseconds since the epoch.
        body: the message's body.

    Returns:
        The message.

    Raises:
        InvalidMessage: when it is none of the tiler's; its text is the reason.
    """
    if not isinstance(body, str):
        raise InvalidMessage("the record has no body")
    if not isinstance(sent_timestamp, str) or not re.fullmatch(r"[0-9]{1,14}", sent_timestamp):
        raise InvalidMessage("the record has no SentTimestamp in milliseconds")
    recovered = False
    try:
        fields = decode_object(body)
    except ValueError as error:
        # A repeated key may stand in an unescaped text. All else that is refused is JSON as it was meant.
        failure = _recover(body) if isinstance(error, json.JSONDecodeError | _RepeatedKey) else None
        if failure is None:
            raise InvalidMessage(f"the body is not a JSON object: {error}") from error
        fields, recovered = failure, True

    job_id = _take_job_id(fields)
    step = step_of(fields)
    if step is None:
        raise InvalidMessage(
            f"unknown stage or status: {_show(fields.get('stage'))}, {_show(fields.get('status'))}"
        )
    if step is Step.MOSAIC_FINISHED:
        _check_finished_mosaic(fields)
    event = Event(message_id, int(sent_timestamp), step, without_ours(fields))
    refuse_oversized(event, len(body))
    return Message(job_id, event, recovered)


def without_ours(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give fields without those that have one of our names."""
    return {name: value for name, value in fields.items() if name not in OURS}


def essence(event: Event) -> dict[str, Any]:
    """Give what an entry is worth nothing without: its step, and of a mosaic FINISHED which one it is."""
    names = ["stage", "status"] + ["target", "images"] * (event.step is Step.MOSAIC_FINISHED)
    return {name: value for name, value in event.fields.items() if name in names}


def refuse_oversized(event: Event, length: int) -> None:
    """Refuse what no status object could hold, the whole at the top and its essence in the history.

    Args:
        event: what was understood.
        length: of the text that it was understood from, in characters.

    Raises:
        InvalidMessage: for something that never came through SQS.
    """
    # Of a character come six bytes at the most, or twice four: a shorter text need not be measured.
    if length > MAX_FIELDS_BYTES // 8 and (
        len(encode(event.fields)) + len(encode(essence(event))) > MAX_FIELDS_BYTES
    ):
        raise InvalidMessage("too large for a status object, and for SQS")


def _take_job_id(fields: dict[str, Any]) -> str:
    if "jobId" not in fields:
        envelope = envelope_of(fields)
        raise InvalidMessage(f"the body is {envelope}" if envelope else "jobId is missing")
    job_id = fields.pop("jobId")
    if not isinstance(job_id, str) or not _JOB_ID.fullmatch(job_id):
        raise InvalidMessage(
            "jobId is not 1 to 256 letters, digits, '.', '_' or '-' that begin with a letter or digit: "
            + _show(job_id)
        )
    return job_id


def _check_finished_mosaic(fields: Mapping[str, Any]) -> None:
    if missing := [name for name in ("target", "images") if name not in fields]:
        verb = "is" if len(missing) == 1 else "are"
        raise InvalidMessage(f"{' and '.join(missing)} {verb} missing from a finished mosaic")
    if tiles_url(fields["target"]) is None:
        raise InvalidMessage("target is not a usable s3://, s3n://, s3a://, http:// or https:// URL")
    if not is_images(fields["images"]):
        raise InvalidMessage("images is not a list of strings")


def is_images(value: object) -> TypeGuard[list[str]]:
    """Tell whether a value can be a finished mosaic's images: a list of strings."""
    return isinstance(value, list) and all(isinstance(image, str) for image in value)


def step_of(fields: Mapping[str, Any]) -> Step | None:
    """Give the step that a message's stage and status name, or None if they name none."""
    stage, status = fields.get("stage"), fields.get("status")
    return STEPS.get((stage, status)) if isinstance(stage, str) and isinstance(status, str) else None


def decode_object(text: str, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Decode a JSON object that every other reader understands the same way (RFC 8259, sections 4, 6 and 8).

    A lone surrogate, which JSON's escapes can make and UTF-8 can't hold, becomes U+FFFD. Of keys that are the
    same by that, the last one counts: they name nothing that anybody looks for.

    Args:
        text: the JSON text.
        max_depth: how deep arrays and objects may stand in each other.

    Returns:
        The object.

    Raises:
        ValueError: when it is no JSON, no object, nested too deep, has a key twice, or a number that no
            double can hold (NaN and Infinity among them).
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if isinstance(value, str) and value.lstrip(' \t\r\n"\\').startswith("{"):
        raise ValueError("it is a string that holds JSON, encoded more than once: send the object itself")
    if not isinstance(value, dict):
        raise ValueError(f"it is {_show(value)}")
    # Counting brackets is quick and settles nearly every message; only a crowd of them needs the walk.
    if text.count("[") + text.count("{") > max_depth and _deeper_than(max_depth, value):
        raise ValueError("nested too deep")
    if "\\ud" in text or "\\uD" in text or not _is_unicode(text):
        return {_without_surrogates(name): _without_surrogates(inner) for name, inner in value.items()}
    return value


def encode(value: object) -> bytes:
    """Encode a value as compact UTF-8 JSON."""
    return _ENCODER.encode(value).encode()


def _recover(body: str) -> dict[str, Any] | None:
    """Read a mosaic failure whose text was not escaped; the text is kept as it is."""
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
    return {name: _without_surrogates(value) for name, value in found.items()}


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


def _show(value: object) -> str:
    """Name a value in a reason: short, ASCII, on one line, and no content of containers."""
    if isinstance(value, list | dict):
        return f"a JSON {'array' if isinstance(value, list) else 'object'}"
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:79] + "~"


def _deeper_than(limit: int, value: dict[str, Any]) -> bool:
    level: list[Any] = [value]
    for _ in range(limit):
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, list | dict)
        ]
    return bool(level)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _RepeatedKey("a key stands twice in one object")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is too large for a double")
    return value


def _whole(text: str) -> int:
    if len(text) > 308:  # the largest double has 309 digits
        raise ValueError("a number is too large for a double")
    return int(text)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_int=_whole, parse_constant=_refuse_constant
)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
