"""What a message says about its job, and the steps that a job goes through (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, TypeGuard


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


def step_of(fields: Mapping[str, Any]) -> Step | None:
    """Return the step that a stage and a status name, or None if they name none."""
    stage, status = fields.get("stage"), fields.get("status")
    return STEPS.get((stage, status)) if isinstance(stage, str) and isinstance(status, str) else None


def is_images(value: object) -> TypeGuard[list[str]]:
    """Return whether a value can be a finished mosaic's images: a list of strings."""
    return isinstance(value, list) and all(isinstance(image, str) for image in value)
