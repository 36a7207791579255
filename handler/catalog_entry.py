"""The `catalog` section of a job's status object: what the catalog must know, and what became of it (pure).

At most one invocation at a time may POST for a job: two concurrent POSTs can lose an entry in the catalog,
and a repeat is wasted. So an invocation claims the notification first, in the same conditional write that
says SUCCESS; a claim ends with the invocation that made it, at the latest.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from handler.events import Step, is_images
from handler.job_status import JobStatus, deciding_event
from handler.status_object import from_iso, to_iso
from handler.strict_json import encode
from handler.tiles import tiles_template, tiles_url


class CatalogState(StrEnum):
    """What became of a notification."""

    PENDING = "PENDING"
    NOTIFIED = "NOTIFIED"
    MOCKED = "MOCKED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Notification:
    """What the catalog must know of a finished job."""

    uri: str  # the job's tile URL, as in its TileJSON
    images: tuple[str, ...]  # the source images, as the catalog knows them

    @property
    def payload(self) -> dict[str, Any]:
        """Return the JSON to POST (http://docs.openaerialmap.org/#api-TMS-PostTms)."""
        return {"uri": self.uri, "images": [{"uuid": image} for image in self.images]}

    @property
    def digest(self) -> str:
        """Return what two notifications share that say the same: the same uri and the same set of images."""
        return hashlib.sha256(encode([self.uri, sorted(set(self.images))])).hexdigest()


def notification_for(status: JobStatus, tiles_base: str | None = None) -> Notification | None:
    """Return what the catalog must know of a job with at least one event; None before SUCCESS.

    None, too, where the target or the images are none that a message could have: the legacy system checked
    neither.
    """
    event = deciding_event(status)
    url = tiles_url(event.fields.get("target"), tiles_base)
    images = event.fields.get("images")
    if event.step is not Step.MOSAIC_FINISHED or url is None or not is_images(images):
        return None
    return Notification(tiles_template(url), tuple(image.removeprefix("/vsicurl/") for image in images))


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """What the status object says of a notification: immutable, its methods return a changed copy.

    Times are in milliseconds since the epoch.
    """

    state: str = CatalogState.PENDING
    uri: str = ""
    digest: str = ""  # of the notification
    attempts: int = 0  # how often it was claimed
    updated_at: str = ""  # as it is written
    expires_at: int | None = None  # when the claim ends, while there is one
    owner: str = ""  # the job in the invocation whose claim it is (`handler.notifier.Job`)
    error: str | None = None  # why the last attempt failed, if it did

    @classmethod
    def read(cls, section: Mapping[str, Any]) -> "CatalogEntry":
        """Read a section; what is missing, or was broken by hand, counts as not there."""
        text = {name: value for name, value in section.items() if isinstance(value, str)}
        attempts = section.get("attempts")
        return cls(
            text.get("state", CatalogState.PENDING),
            text.get("uri", ""),
            text.get("digest", ""),
            attempts if isinstance(attempts, int) else 0,
            text.get("updatedAt", ""),
            from_iso(section.get("claimedUntil")),
            text.get("claimedBy", ""),
            text.get("error"),
        )

    def section(self) -> dict[str, Any]:
        """Return the section to write."""
        section: dict[str, Any] = {
            "state": self.state,
            "uri": self.uri,
            "digest": self.digest,
            "attempts": self.attempts,
            "updatedAt": self.updated_at,
        }
        if self.expires_at is not None:
            section |= {"claimedUntil": to_iso(self.expires_at), "claimedBy": self.owner}
        return section if self.error is None else section | {"error": self.error}

    def is_notified(self, notification: Notification, done: CatalogState) -> bool:
        """Return whether nothing is left to do: it is NOTIFIED, or in the state that a success leads to."""
        return self.digest == notification.digest and self.state in {CatalogState.NOTIFIED, done}

    def is_claimed(self, owner: str, now: int) -> bool:
        """Return whether another owner is notifying the catalog of this job now."""
        return self.expires_at is not None and self.expires_at > now and self.owner != owner

    def unclaimed(self, notification: Notification, now: int) -> "CatalogEntry":
        """Return the entry of a notification without a claim; what went wrong last time stays."""
        if self.digest == notification.digest:
            return replace(self, expires_at=None, owner="")
        return CatalogEntry(CatalogState.PENDING, notification.uri, notification.digest, 0, to_iso(now))

    def claim(self, notification: Notification, owner: str, now: int, expires_at: int) -> "CatalogEntry":
        """Return the entry with a claim.

        The owner's own to the same notification stands as it is: its write was not confirmed.
        """
        if self.owner == owner and self.digest == notification.digest:
            return self
        entry = self.unclaimed(notification, now)
        return replace(
            entry,
            state=CatalogState.PENDING,
            attempts=entry.attempts + 1,
            updated_at=to_iso(now),
            expires_at=expires_at,
            owner=owner,
            error=None,
        )

    def complete(
        self, state: CatalogState, now: int, error: str | None = None, *, keep_claim: bool = False
    ) -> "CatalogEntry":
        """Return the entry with what became of its claim, which ends unless it is to be kept."""
        entry = replace(self, state=state, updated_at=to_iso(now), error=error)
        return entry if keep_claim else replace(entry, expires_at=None, owner="")

    def release(self, now: int) -> "CatalogEntry":
        """Return the entry without its claim, which was not used: the catalog took nothing."""
        return replace(self.complete(CatalogState.PENDING, now), attempts=self.attempts - 1)
