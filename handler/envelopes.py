"""Recognise what other AWS services put around a message, or on the queue in its place (pure)."""

from collections.abc import Mapping
from typing import Any

# What the body is, and what to do.
_SNS = "an SNS {type}: turn on raw message delivery for the queue's subscription"
_EVENTBRIDGE = (
    "an EventBridge envelope: have the rule's target send the event's detail alone (InputPath $.detail)"
)
_S3_TEST = "an S3 test event, which a bucket sends once it is to notify a queue: name another queue there"
_S3 = "an S3 event notification: have the bucket notify another queue"
_SQS = "an SQS event as Lambda receives it: send the body of each of its Records"
_RECORDS = "an AWS event (Records): send the tiler's messages alone"


def envelope_of(fields: Mapping[str, Any]) -> str | None:
    """Return what a JSON object without a jobId is, and what to do; None if it is nothing known.

    SNS: https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
    EventBridge: https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
    S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    kind = fields.get("Type")
    if "Message" in fields and kind == "Notification":
        return _SNS.format(type="envelope")
    if "Message" in fields and kind in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
        return _SNS.format(type=kind)
    if "detail-type" in fields and ("detail" in fields or "source" in fields):
        return _EVENTBRIDGE
    if fields.get("Service") == "Amazon S3" and fields.get("Event") == "s3:TestEvent":
        return _S3_TEST
    records = fields.get("Records")
    if not isinstance(records, list):
        return None
    first = records[0] if records and isinstance(records[0], dict) else {}
    sources = {"aws:s3": _S3, "aws:sqs": _SQS}
    return next((text for source, text in sources.items() if first.get("eventSource") == source), _RECORDS)
