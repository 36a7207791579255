"""The demo's messages, and what each job must have come to: written down here, not computed."""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """A message as its producer sends it.

    Attributes:
        stage: its stage.
        status: its status.
        body: the body.
    """

    stage: str
    status: str
    body: str


@dataclass(frozen=True, slots=True)
class Registration:
    """What the catalog must have been told of a job.

    Attributes:
        uri: of the tiles.
        images: the source images.
        attempts: how many POSTs that took.
    """

    uri: str
    images: tuple[str, ...]
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Expected:
    """What a job must have come to.

    Attributes:
        stage: the status object's.
        status: the status object's.
        attempt: the status object's.
        error: the status object's; None for none.
        registration: what the catalog must hold; None for nothing.
    """

    stage: str
    status: str
    attempt: int = 1
    error: str | None = None
    registration: Registration | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job of the demo.

    Attributes:
        job_id: its jobId.
        story: what happens to it, in a few words.
        messages: what its producers send, in the order in which they send it.
        expected: what it must have come to.
    """

    job_id: str
    story: str
    messages: tuple[Message, ...]
    expected: Expected


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that is sent in a demo.

    Attributes:
        jobs: the jobs.
        poison: bodies that must end in the dead-letter queue, every one.
        not_yet_indexed: images that the catalog does not know when it is first told of them.
    """

    jobs: tuple[Job, ...]
    poison: tuple[str, ...]
    not_yet_indexed: tuple[str, ...]


def message(job_id: str, stage: str, status: str, **more: object) -> Message:
    """Write a message as the producers that know JSON do; `more` are its other fields."""
    return Message(stage, status, json.dumps({"jobId": job_id, "stage": stage, "status": status, **more}))


def unescaped_mosaic_failure(job_id: str, error: str) -> Message:
    """Write a failure as the mosaic step does: by string interpolation, with nothing escaped."""
    body = f'{{ "jobId": "{job_id}", "stage": "mosaic", "status": "FAILED", "error": "{error}" }}'
    return Message("mosaic", "FAILED", body)


STACK = "Traceback (most recent call last):\n" + "\n".join(
    f'  File "/opt/chunk/worker.py", line {line}, in step_{line}\n    read(r"C:\\tiles\\{line}.tif")'
    for line in range(1, 121)
)

SCALA_ERROR = (
    'org.apache.spark.SparkException: Job aborted: "Task 3 in stage 1.0 failed 4 times"\n'
    "\tat org.apache.spark.scheduler.DAGScheduler.failJob(DAGScheduler.scala:1435)\n"
    'Caused by: java.io.IOException: no such file "D:\\tiles\\new\\14.tif" }'
)


def _documented() -> Job:
    job_id = "test-job"
    images = [
        "http://bucketname.s3.amazonaws.com/image1.tif",
        "http://bucketname.s3.amazonaws.com/image2.tif",
    ]
    return Job(
        job_id,
        "the six documented messages, in the documented order: one attempt",
        (
            message(job_id, "chunk", "STARTED"),
            message(job_id, "chunk", "FAILED", error="so many errors"),
            message(job_id, "chunk", "FINISHED"),
            message(job_id, "mosaic", "STARTED"),
            message(job_id, "mosaic", "FAILED", error="scala errors oh my"),
            message(job_id, "mosaic", "FINISHED", target="s3://oam-tiles/test-job", images=images),
        ),
        Expected(
            "COMPLETE",
            "SUCCESS",
            registration=Registration(
                "https://oam-tiles.s3.amazonaws.com/test-job/{z}/{x}/{y}.png", tuple(images)
            ),
        ),
    )


def _straight_through() -> Job:
    job_id = "straight-through"
    return Job(
        job_id,
        "nothing goes wrong; a /vsicurl/ image, a bucket with dots, an undocumented field",
        (
            message(job_id, "chunk", "STARTED"),
            message(job_id, "chunk", "FINISHED", tiles=312),
            message(job_id, "mosaic", "STARTED"),
            message(
                job_id,
                "mosaic",
                "FINISHED",
                target="s3n://tiles.example.org/Zanzibar/straight-through/",
                images=["/vsicurl/http://images.example.org/zanzibar.tif"],
            ),
        ),
        Expected(
            "COMPLETE",
            "SUCCESS",
            registration=Registration(
                "https://s3.amazonaws.com/tiles.example.org/Zanzibar/straight-through/{z}/{x}/{y}.png",
                ("http://images.example.org/zanzibar.tif",),
            ),
        ),
    )


def _chunk_fails() -> Job:
    job_id = "chunk-fails"
    return Job(
        job_id,
        "fails in chunk, with a stack of hundreds of lines",
        (
            message(job_id, "chunk", "STARTED"),
            message(job_id, "chunk", "FAILED", error='no "nodata" value in band 1', stack=STACK),
        ),
        Expected("chunk", "FAILED", error='no "nodata" value in band 1'),
    )


def _mosaic_fails() -> Job:
    job_id = "mosaic-fails"
    return Job(
        job_id,
        "fails in mosaic; the message that says so is malformed JSON",
        (
            message(job_id, "chunk", "STARTED"),
            message(job_id, "chunk", "FINISHED"),
            message(job_id, "mosaic", "STARTED"),
            unescaped_mosaic_failure(job_id, SCALA_ERROR),
        ),
        Expected("mosaic", "FAILED", error=SCALA_ERROR),
    )


def _mosaic_restarted() -> Job:
    job_id = "mosaic-restarted"
    return Job(
        job_id,
        "mosaic failed and was restarted by YARN; still at work",
        (
            message(job_id, "chunk", "STARTED"),
            message(job_id, "chunk", "FINISHED"),
            message(job_id, "mosaic", "STARTED"),
            unescaped_mosaic_failure(job_id, "Container killed by YARN for exceeding memory limits"),
            message(job_id, "mosaic", "STARTED"),
        ),
        Expected("mosaic", "STARTED", attempt=2),
    )


def _restarted() -> Job:
    job_id = "restarted-by-yarn"
    return Job(
        job_id,
        "fails in chunk, is restarted by YARN, succeeds",
        (
            message(job_id, "chunk", "STARTED"),
            message(job_id, "chunk", "FAILED", error="lost a worker", stack=STACK),
            message(job_id, "chunk", "STARTED"),
            message(job_id, "chunk", "FINISHED"),
            message(job_id, "mosaic", "STARTED"),
            message(
                job_id,
                "mosaic",
                "FINISHED",
                target="s3a://oam-tiles/restarted-by-yarn",
                images=["http://images.example.org/kathmandu.tif"],
            ),
        ),
        Expected(
            "COMPLETE",
            "SUCCESS",
            attempt=2,
            registration=Registration(
                "https://oam-tiles.s3.amazonaws.com/restarted-by-yarn/{z}/{x}/{y}.png",
                ("http://images.example.org/kathmandu.tif",),
            ),
        ),
    )


_NEW_IMAGE = "http://images.example.org/port-au-prince.tif"


def _not_yet_indexed() -> Job:
    job_id = "not-yet-indexed"
    return Job(
        job_id,
        "the catalog answers 400 at first, as it has not indexed the image yet",
        (
            message(job_id, "chunk", "STARTED"),
            message(job_id, "chunk", "FINISHED"),
            message(job_id, "mosaic", "STARTED"),
            message(
                job_id,
                "mosaic",
                "FINISHED",
                target="https://tiles.example.org/port-au-prince",
                images=[_NEW_IMAGE],
            ),
        ),
        Expected(
            "COMPLETE",
            "SUCCESS",
            registration=Registration(
                "https://tiles.example.org/port-au-prince/{z}/{x}/{y}.png", (_NEW_IMAGE,), attempts=2
            ),
        ),
    )


SCENARIO = Scenario(
    jobs=(
        _documented(),
        _straight_through(),
        _chunk_fails(),
        _mosaic_fails(),
        _mosaic_restarted(),
        _restarted(),
        _not_yet_indexed(),
    ),
    poison=(
        message(
            "../escape",
            "mosaic",
            "FINISHED",
            target="s3://oam-tiles/escape",
            images=["http://x.example/i.tif"],
        ).body,
        "chunk of test-job is nearly done",
        message("test-job", "mosaic", "FINISHED", target="/mnt/tiles/test-job", images=[]).body,
    ),
    not_yet_indexed=(_NEW_IMAGE,),
)
