"""What a job's messages amount to, told again from the issue's words; it shares no code with the function."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

# The steps, in the order in which a job goes through them.
STEPS = (
    ("chunk", "STARTED"),
    ("chunk", "FAILED"),
    ("chunk", "FINISHED"),
    ("mosaic", "STARTED"),
    ("mosaic", "FAILED"),
    ("mosaic", "FINISHED"),
)
SUCCESS = STEPS.index(("mosaic", "FINISHED"))

LEGACY = "older-system"  # the messageId that stands for an object of the legacy system
HISTORY = 256  # entries of a history, at the most
OBJECT_BYTES = 4 * 1024 * 1024  # an object stays under it

# What an object adds; a message's fields of these names are not kept.
RESERVED = frozenset(
    ("messageId", "sentAt", "attempt", "updatedAt", "history", "catalog", "tileJson", "droppedBefore")
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message as SQS accepted it.

    Attributes:
        message_id: SQS's.
        sent_at: SQS's SentTimestamp, in milliseconds since the epoch.
        fields: what it says beside its jobId.
    """

    message_id: str
    sent_at: int
    fields: Mapping[str, Any]

    @property
    def step(self) -> int:
        return STEPS.index((self.fields["stage"], self.fields["status"]))


def in_order(messages: Iterable[Sent]) -> list[Sent]:
    """Each message once, in the order of the rule."""
    return sorted(
        {message.message_id: message for message in messages}.values(),
        key=lambda message: (message.sent_at, message.step, message.message_id),
    )


def attempts(ordered: Iterable[Sent]) -> list[list[Sent]]:
    """What each attempt consists of."""
    found: list[list[Sent]] = [[]]
    for message in ordered:
        started = message.fields["status"] == "STARTED"
        if started and any(known.step == message.step for known in found[-1]):
            found.append([known for known in found[-1] if known.step < message.step])
        found[-1].append(message)
    return found


def decides(ordered: Sequence[Sent]) -> Sent:
    """The message that makes the status what it is."""
    finished = [message for message in ordered if message.step == SUCCESS]
    if finished:
        # The newest thing that was said, by the message that said it first. Whatever a message says, the
        # legacy system's object is not it.
        sent = [message for message in finished if message.message_id != LEGACY]
        new = [
            message
            for number, message in enumerate(sent)
            if not any(is_repeat(message, earlier) for earlier in sent[:number])
        ]
        return (new or finished)[-1]
    last = attempts(ordered)[-1]
    furthest = max(message.step for message in last)
    return [message for message in last if message.step == furthest][-1]


def is_repeat(message: Sent, earlier: Sent) -> bool:
    """Whether a mosaic FINISHED says what an earlier one said: by a redrive, as a rule."""
    one, other = message.fields, earlier.fields
    return one["target"] == other["target"] and set(one["images"]) == set(other["images"])


def tile_url(target: str) -> str:
    """Where the tiles of a target are, as a template; the targets here need no percent-encoding."""
    target = target.rstrip("/")
    scheme, _, rest = target.partition("://")
    if scheme in ("http", "https"):
        base = target
    else:
        bucket, _, key = rest.partition("/")
        plain = bucket.replace("-", "x").isalnum() and bucket == bucket.lower()
        hyphens = bucket.startswith("-") or bucket.endswith("-")
        host = plain and not hyphens and len(bucket) in range(3, 64)
        base = f"https://{bucket}.s3.amazonaws.com" if host else f"https://s3.amazonaws.com/{bucket}"
        base += f"/{key}" if key else ""
    return base + "/{z}/{x}/{y}.png"


def catalog_images(fields: Mapping[str, Any]) -> list[str]:
    """The images of a mosaic FINISHED, as the catalog knows them."""
    return [image.removeprefix("/vsicurl/") for image in fields["images"]]


def iso(milliseconds: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def view(job_id: str, ordered: Sequence[Sent], written: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The object's fields, without its history and its `catalog` section.

    Args:
        job_id: the job.
        ordered: the messages of its history.
        written: the history's entries by messageId, whose long texts may have been truncated.
    """
    decider = decides(ordered)
    top = {name: value for name, value in written[decider.message_id].items() if name not in RESERVED}
    if decider.step == SUCCESS:
        top |= {
            "stage": "COMPLETE",
            "status": "SUCCESS",
            "tileJson": {
                "tilejson": "2.1.0",
                "name": f"OAM Server Mosaic {job_id}",
                "attribution": "<a href='http://github.com/openimagerynetwork/'>OIN contributors</a>",
                "scheme": "xyz",
                "tiles": [tile_url(decider.fields["target"])],
            },
        }
    return {
        **top,
        "jobId": job_id,
        "attempt": len(attempts(ordered)),
        "updatedAt": iso(max(message.sent_at for message in ordered)),
    }


def identifying_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry keeps longest: its step, and the target and images of a finished mosaic."""
    names = ["stage", "status"] + (["target", "images"] if "images" in fields else [])
    return {name: fields[name] for name in names if name in fields}


def is_same_or_truncated(sent: Any, written: Any) -> bool:
    """Whether a field stands as it was sent, but for long texts that were truncated."""
    if isinstance(sent, str) and isinstance(written, str) and len(sent) > 1000:
        return sent == written or (len(written) <= 1000 and sent.startswith(written[:-1]))
    if isinstance(sent, dict) and isinstance(written, dict):
        return sent.keys() == written.keys() and all(is_same_or_truncated(sent[k], written[k]) for k in sent)
    if isinstance(sent, list) and isinstance(written, list):
        return len(sent) == len(written) and all(map(is_same_or_truncated, sent, written))
    return type(sent) is type(written) and bool(sent == written)
