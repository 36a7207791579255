"""What the catalog has been told of a job: the `catalog` section of its status object (pure).

At most one invocation at a time may POST for a job (two at once can lose an entry in the catalog), and a
repeat is wasted. So whoever is to notify writes a claim first, in the same conditional write that says
SUCCESS; a claim ends with the invocation that made it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from handler.job_status import JobStatus, deciding, from_iso, iso
from handler.messages import Step, encode, is_images
from handler.tiles import tile_json, tiles_url

SHORTEST_NOTIFY = 5.5  # seconds; below this the catalog is not asked: two waits, three requests and a body


class CatalogState(StrEnum):
    """What became of telling the catalog."""

    PENDING = "PENDING"
    NOTIFIED = "NOTIFIED"
    MOCKED = "MOCKED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Notification:
    """What the catalog is to be told."""

    message_id: str  # of the mosaic FINISHED that has the catalog told, and fails with it
    uri: str  # the job's tile URL, as in its TileJSON
    images: tuple[str, ...]  # the source images, as the catalog knows them

    @property
    def payload(self) -> dict[str, Any]:
        """The JSON to POST (http://docs.openaerialmap.org/#api-TMS-PostTms)."""
        return {"uri": self.uri, "images": [{"uuid": image} for image in self.images]}

    @property
    def digest(self) -> str:
        """Tells whether two notifications say the same: the same uri and the same set of images."""
        return hashlib.sha256(encode([self.uri, sorted(set(self.images))])).hexdigest()


def due(job_id: str, status: JobStatus, tiles_base: str | None = None) -> Notification | None:
    """Give what the catalog must know of a job; None before SUCCESS.

    None, too, where the target or the images are none that a message could have: the older system let
    everything pass.

    Args:
        job_id: the job.
        status: what is known of it; at least one event.
        tiles_base: as in `handler.tiles.tiles_url`.
    """
    event = deciding(status)
    url = tiles_url(event.fields.get("target"), tiles_base)
    images = event.fields.get("images")
    if event.step is not Step.MOSAIC_FINISHED or url is None or not is_images(images):
        return None
    uri = tile_json(job_id, url)["tiles"][0]
    return Notification(event.message_id, uri, tuple(image.removeprefix("/vsicurl/") for image in images))


def is_told(catalog: Mapping[str, Any], notification: Notification, done: CatalogState) -> bool:
    """Tell whether nothing is left to do for a notification.

    Args:
        catalog: the object's `catalog` section.
        notification: what the catalog must know.
        done: the state that a success leads to: NOTIFIED, or MOCKED where nothing is sent.
    """
    state = catalog.get("state")
    return catalog.get("digest") == notification.digest and state in (CatalogState.NOTIFIED, done)


def is_claimed(catalog: Mapping[str, Any], claimant: str, now: int) -> bool:
    """Tell whether somebody else is telling the catalog of this job at this moment.

    Args:
        catalog: the object's `catalog` section.
        claimant: who asks.
        now: in milliseconds since the epoch.
    """
    until = from_iso(catalog.get("claimedUntil"))
    return until is not None and until > now and catalog.get("claimedBy") != claimant


def unclaimed(notification: Notification, catalog: Mapping[str, Any], now: int) -> Mapping[str, Any]:
    """Say that a notification is due, but nobody is at it.

    Args:
        notification: what the catalog must know.
        catalog: the object's `catalog` section so far; if it is about this, what went wrong last time stays.
        now: in milliseconds since the epoch.
    """
    if catalog.get("digest") == notification.digest:
        return _without_claim(catalog)
    return _pending(notification, 0, now)


def claimed(
    notification: Notification, catalog: Mapping[str, Any], claimant: str, now: int, until: int
) -> Mapping[str, Any]:
    """Claim a notification.

    Args:
        notification: what the claimant is about to tell the catalog.
        catalog: the object's `catalog` section so far.
        claimant: who claims; a claim of its own stands as it is (its write's answer was lost).
        now: in milliseconds since the epoch.
        until: when the claim ends, likewise.
    """
    if catalog.get("claimedBy") == claimant:
        return catalog
    attempts = catalog.get("attempts") if catalog.get("digest") == notification.digest else 0
    section = _pending(notification, (attempts if isinstance(attempts, int) else 0) + 1, now)
    return section | {"claimedUntil": iso(until), "claimedBy": claimant}


def settled(
    claim: Mapping[str, Any], state: CatalogState, now: int, error: str | None = None
) -> dict[str, Any]:
    """Record what came of a claim, which ends it.

    Args:
        claim: the `catalog` section that `claimed` gave.
        state: what came of it.
        now: in milliseconds since the epoch.
        error: what went wrong, where something did.
    """
    section = _without_claim(claim) | {"state": state, "updatedAt": iso(now)}
    return section if error is None else section | {"error": error}


def released(claim: Mapping[str, Any], now: int) -> dict[str, Any]:
    """Give a claim up without having asked the catalog; `now` is in milliseconds since the epoch."""
    return settled(claim, CatalogState.PENDING, now) | {"attempts": claim["attempts"] - 1}


def _without_claim(section: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in section.items() if name not in {"claimedUntil", "claimedBy"}}


def _pending(notification: Notification, attempts: int, now: int) -> dict[str, Any]:
    return {
        "state": CatalogState.PENDING,
        "uri": notification.uri,
        "digest": notification.digest,
        "attempts": attempts,
        "updatedAt": iso(now),
    }
