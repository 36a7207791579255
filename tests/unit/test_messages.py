"""What is understood, what is refused and why, and what is recovered."""

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.events import Step
from handler.messages import InvalidMessage, Message, parse
from handler.strict_json import encode
from tests.factories import IMAGES, MIB, TARGET, body, fields, largest_messages

SENT = "1700000000000"


def understood(text: str) -> Message:
    return parse("m", SENT, text)


def reason(text: object, sent: object = SENT) -> str:
    """Return the reason for a refusal."""
    with pytest.raises(InvalidMessage) as caught:
        parse("m", sent, text)
    said = str(caught.value)
    # Whatever was refused: one short line of ASCII, fit for a log and a table.
    assert said
    assert said.isascii()
    assert said.isprintable()
    assert len(said) < 300
    return said


def unescaped(error: str, job_id: str = "j") -> str:
    """Build a mosaic failure as its producer does, by string interpolation."""
    return f'{{ "jobId": "{job_id}", "stage": "mosaic", "status": "FAILED", "error": "{error}" }}'


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ('{ "jobId": "test-job", "stage": "chunk", "status": "STARTED" }', Step.CHUNK_STARTED),
        (
            '{ "jobId": "test-job", "stage": "chunk", "status": "FAILED", "error": "so many errors" }',
            Step.CHUNK_FAILED,
        ),
        ('{ "jobId": "test-job", "stage": "chunk", "status": "FINISHED" }', Step.CHUNK_FINISHED),
        ('{ "jobId": "test-job", "stage": "mosaic", "status": "STARTED" }', Step.MOSAIC_STARTED),
        (
            '{ "jobId": "test-job", "stage": "mosaic", "status": "FAILED", "error": "scala errors oh my" }',
            Step.MOSAIC_FAILED,
        ),
        (
            '{ "jobId": "test-job", "stage": "mosaic", "status": "FINISHED", "target": "s3://oam-tiles/test-job",'
            ' "images": ["http://bucketname.s3.amazonaws.com/image1.tif",'
            ' "http://bucketname.s3.amazonaws.com/image2.tif"] }',
            Step.MOSAIC_FINISHED,
        ),
    ],
)
def test_the_documented_messages_are_understood(text: str, step: Step) -> None:
    message = understood(text)
    own = json.loads(text)
    assert message.job_id == own.pop("jobId")
    assert (message.event.step, message.event.sent_at) == (step, int(SENT))
    assert message.event.fields == own
    assert not message.recovered


def test_unknown_fields_and_a_long_stack_are_kept_as_they_came() -> None:
    stack = "\n".join(f'  File "chunk.py", line {number}' for number in range(400))
    more: dict[str, Any] = {"stack": stack, "n": 1.50, "deep": [{"a": None}, True], "ünï": "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")}  # fmt: skip
    assert understood(body("chunk", "FAILED", **more)).event.fields == fields("chunk", "FAILED", **more)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "not a JSON object: it is a JSON array"),
        ("null", "not a JSON object: it is null"),
        ("3", "not a JSON object: it is 3"),
        ('"text"', 'not a JSON object: it is "text"'),
        ("chunk is done", "not a JSON object"),
        ("", "not a JSON object"),
        ("\ufeff{}", "not a JSON object"),
        (json.dumps(body("mosaic", "FINISHED")), "not a JSON object: it is a string that holds JSON, encoded more than once"),
        ('{"jobId": "j", "stage": "chunk", "status": "STARTED", "n": NaN}', "NaN is not JSON"),
        ('{"jobId": "j", "stage": "chunk", "stage": "mosaic", "status": "STARTED"}', "a key stands twice"),
        ('{"jobId": "j", "x": {"a": 1, "a": 2}, "stage": "chunk", "status": "STARTED"}', "a key stands twice"),
        ('{"jobId": "j", "stage": "tile", "status": "STARTED"}', 'unknown stage or status: "tile", "STARTED"'),
        ('{"jobId": "j", "stage": "chunk", "status": "started"}', "unknown stage or status"),
        ('{"jobId": "j", "stage": "COMPLETE", "status": "SUCCESS"}', "unknown stage or status"),
        ('{"jobId": "j", "stage": ["chunk"], "status": {}}', "unknown stage or status: a JSON array, a JSON object"),
        ('{"jobId": "j"}', "unknown stage or status: null, null"),
        ('{"jobId": "j", "stage": "' + "é\\n" * 5_000 + '", "status": "STARTED"}', "unknown stage or status"),
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused_with_one_clear_reason(text: str, why: str) -> None:
    assert why in reason(text)


@pytest.mark.parametrize(
    "job_id",
    ["", "../x", "/x", ".x", "-x", "_x", "a/b", "a b", "a\n", "a\x00", "é", "٣", "a" * 257, "a\\b", "a%2fb", None, 3, ["a"], {"a": 1}, True],
)  # fmt: skip
def test_a_job_id_that_could_mean_something_to_a_path_is_refused(job_id: object) -> None:
    assert "jobId is not" in reason(json.dumps({"jobId": job_id, **fields("chunk", "STARTED")}))


@pytest.mark.parametrize("job_id", ["a", "7", "a" * 256, "A.b_c-9..", "test-job"])
def test_a_job_id_of_the_allowed_characters_is_taken(job_id: str) -> None:
    assert understood(body("chunk", "STARTED", job_id)).job_id == job_id


@pytest.mark.parametrize(
    "target", [None, "", 3, ["s3://b/k"], "/mnt/tiles", "file:///tiles", "s3://", "http://"]
)
def test_a_finished_mosaic_without_a_usable_target_is_refused(target: object) -> None:
    said = "target is not a usable s3://, s3n://, s3a://, http:// or https:// URL"
    assert reason(body("mosaic", "FINISHED", target=target)) == said


@pytest.mark.parametrize("images", [None, "http://image", {}, [1], ["a", None], [["a"]]])
def test_a_finished_mosaic_whose_images_are_no_list_of_strings_is_refused(images: object) -> None:
    assert reason(body("mosaic", "FINISHED", images=images)) == "images is not a list of strings"


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ({"target"}, "target is missing from a finished mosaic"),
        ({"images"}, "images is missing from a finished mosaic"),
        ({"target", "images"}, "target and images are missing from a finished mosaic"),
    ],
)
def test_a_finished_mosaic_that_names_no_target_or_images_is_told_what_is_missing(
    missing: set[str], why: str
) -> None:
    own = {name: value for name, value in fields("mosaic", "FINISHED").items() if name not in missing}
    assert reason(json.dumps({"jobId": "j", **own})) == why


def test_a_message_without_a_job_id_is_told_that_it_is_missing() -> None:
    for own in (fields("chunk", "STARTED"), fields("mosaic", "FINISHED"), {}, {"jobID": "j"}):
        assert reason(json.dumps(own)) == "jobId is missing"


# Envelopes

SNS = {
    "Type": "Notification",
    "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
    "TopicArn": "arn:aws:sns:us-east-1:123456789012:oam-status",
    "Subject": "status",
    "Message": body("chunk", "STARTED"),
    "Timestamp": "2026-11-24T03:55:44.780Z",
    "SignatureVersion": "1",
    "Signature": "EXAMPLE",
    "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
    "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
    "MessageAttributes": {"stage": {"Type": "String", "Value": "chunk"}},
}
EVENTBRIDGE = {
    "version": "0",
    "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
    "detail-type": "Tiler status",
    "source": "oam.tiler",
    "account": "123456789012",
    "time": "2026-11-24T03:55:44Z",
    "region": "us-east-1",
    "resources": [],
    "detail": json.loads(body("chunk", "STARTED")),
}
S3_TEST = {
    "Service": "Amazon S3",
    "Event": "s3:TestEvent",
    "Time": "2026-11-24T03:55:44.780Z",
    "Bucket": "oam-tiles",
    "RequestId": "5582815E1AEA5ADF",
    "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR",
}
S3_RECORD = {"eventVersion": "2.5", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {}}


@pytest.mark.parametrize(
    ("envelope", "named", "remedy"),
    [
        (SNS, "an SNS envelope", "raw message delivery"),
        ({"Type": "Notification", "Message": "text"}, "an SNS envelope", "raw message delivery"),
        (SNS | {"Message": {"jobId": "j"}}, "an SNS envelope", "raw message delivery"),
        (SNS | {"Type": "SubscriptionConfirmation", "SubscribeURL": "https://x"}, "an SNS SubscriptionConfirmation", "raw message delivery"),
        (SNS | {"Type": "UnsubscribeConfirmation"}, "an SNS UnsubscribeConfirmation", "raw message delivery"),
        (EVENTBRIDGE, "an EventBridge envelope", " (InputPath $.detail)"),
        ({"source": "oam", "detail-type": "x", "detail": {}}, "an EventBridge envelope", " (InputPath $.detail)"),
        (EVENTBRIDGE | {"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": {}}}, "an EventBridge envelope", " (InputPath $.detail)"),
        (EVENTBRIDGE | {"detail": "text"}, "an EventBridge envelope", " (InputPath $.detail)"),
        ({"source": "oam", "detail-type": "x"}, "an EventBridge envelope", " (InputPath $.detail)"),
        ({"detail-type": "x", "detail": {}}, "an EventBridge envelope", " (InputPath $.detail)"),
        (S3_TEST, "an S3 test event", "another queue"),
        ({"Service": "Amazon S3", "Event": "s3:TestEvent"}, "an S3 test event", "another queue"),
        ({"Records": [S3_RECORD]}, "an S3 event notification", "another queue"),
        ({"Records": [S3_RECORD] * 3}, "an S3 event notification", "another queue"),
        ({"Records": [{"messageId": "m", "body": body("chunk", "STARTED"), "eventSource": "aws:sqs"}]}, "an SQS event", "body of each"),
        ({"Records": [{"EventSource": "aws:sns", "Sns": SNS}]}, "an AWS event (Records)", "alone"),
        ({"Records": []}, "an AWS event (Records)", "alone"),
        ({"Records": ["x"]}, "an AWS event (Records)", "alone"),
    ],
)  # fmt: skip
def test_an_envelope_is_refused_with_its_name_and_what_to_do(
    envelope: dict[str, Any], named: str, remedy: str
) -> None:
    said = reason(json.dumps(envelope))
    assert f"the body is {named}" in said
    assert remedy in said
    assert "jobId" not in said
    assert "null" not in said


@pytest.mark.parametrize("envelope", [SNS, EVENTBRIDGE, S3_TEST, {"Records": [S3_RECORD]}])
def test_the_fields_of_an_envelope_in_a_message_are_its_own_business(envelope: dict[str, Any]) -> None:
    assert understood(body("chunk", "STARTED", **envelope)).event.fields["stage"] == "chunk"
    assert "unknown stage" in reason(json.dumps({"jobId": "j", **envelope}))


@pytest.mark.parametrize(
    "nothing",
    [
        {"Type": 3},
        {"Type": "Notification"},
        {"Type": ["Notification"], "Message": "m"},
        {"detail-type": "x"},
        {"Event": "s3:TestEvent"},
        {"Records": {}},
        {"Records": None},
    ],
)
def test_what_only_looks_like_an_envelope_is_none(nothing: dict[str, Any]) -> None:  # fmt: skip
    assert reason(json.dumps(nothing)) == "jobId is missing"


def test_a_target_or_images_of_another_message_are_its_own_business() -> None:
    assert understood(body("mosaic", "STARTED", target="/mnt", images=3)).event.fields["images"] == 3


@pytest.mark.parametrize("sent", [None, "", "now", "-1", "1.5", "9" * 15, "١٢٣", 1_700_000_000_000])
def test_a_record_without_its_clock_is_refused(sent: object) -> None:
    assert "SentTimestamp" in reason(body("chunk", "STARTED"), sent)


@pytest.mark.parametrize("text", [None, 3, b"{}", {}])
def test_a_record_without_a_body_is_refused(text: object) -> None:
    assert reason(text) == "the record has no body"


# Malformed failures


@pytest.mark.parametrize(
    "error",
    [
        'java.io.IOException: no such key "a/b"',
        "C:\\temp\\new \\q",
        "line one\nline two\r\n\tat org.apache.spark",
        'ends in a quote"',
        '"',
        "\\",
        'says { "a": "b" } and "}" and " } "',
        'x", "status": "FINISHED", "target": "s3://b/k", "images": ["',
        "\x00\x1b[31m",
        'é \u2028 \U0001f600 "',
        '" }\n" }',
    ],
)
def test_a_mosaic_failure_whose_text_was_not_escaped_is_recovered_as_it_is(error: str) -> None:
    message = understood(unescaped(error))
    assert message.job_id == "j"
    assert message.event.fields == {"stage": "mosaic", "status": "FAILED", "error": error}
    assert message.recovered


def test_space_around_an_unescaped_failure_is_none_of_its_text() -> None:
    message = understood(unescaped('  a "b"  ') + " \n")
    assert message.event.fields["error"] == '  a "b"  '


@pytest.mark.parametrize("odd", ["NaN", "1e999", "[" * 200 + "]" * 200])
def test_what_is_json_but_for_a_value_that_has_to_be_refused_is_not_taken_for_unescaped_text(
    odd: str,
) -> None:
    body = (
        '{"jobId": "j", "stage": "mosaic", "status": "FAILED", "error": "boom", "n": '
        + odd
        + ', "host": "ip-10"}'
    )
    with pytest.raises(InvalidMessage):
        parse("m", "1", body)


def test_a_mosaic_failure_that_is_json_is_read_as_json() -> None:
    message = understood(unescaped('a \\"b\\" \\n'))
    assert message.event.fields["error"] == 'a "b" \n'
    assert not message.recovered


@pytest.mark.parametrize(
    "text",
    [
        unescaped('"a"').replace("mosaic", "chunk"),
        unescaped('"a"').replace("FAILED", "STARTED"),
        unescaped('"a"')[:-1],
        unescaped('"a"') + "x",
        unescaped('"a"').replace('"a"', '"a"" '[:2]).rstrip(' "}') + "}",
        '{ "jobId": "j", "stage": "mosaic", "status": "FAILED", "error": "}',
        "x" + unescaped('"a"'),
    ],
)
def test_what_only_looks_like_that_failure_is_refused(text: str) -> None:
    assert "not a JSON object" in reason(text)


def test_a_recovered_failure_is_still_held_to_the_rules_of_a_job_id() -> None:
    assert "jobId is not" in reason(unescaped('"a"', "../x"))


@pytest.mark.parametrize("piece", ['"', '"}', "} ", ' "', '" }', "\\", "{", " "])
def test_a_megabyte_of_poison_is_settled_in_no_time(piece: str) -> None:
    for text in (unescaped('"' + piece * (1_000_000 // len(piece))), unescaped('"')[:-2] + piece * 500_000):
        begun = time.perf_counter()
        with contextlib.suppress(InvalidMessage):
            understood(text)
        assert time.perf_counter() - begun < 1


# Sizes and encodings


def test_no_message_that_sqs_takes_is_refused_or_truncated_for_its_size() -> None:
    for text, own in largest_messages():
        assert len(text.encode()) == MIB
        assert understood(text).event.fields == own


def test_10_000_images_are_taken() -> None:
    images = [f"http://images.example.org/{number:05d}/{'x' * 20}.tif" for number in range(10_000)]
    assert understood(body("mosaic", "FINISHED", images=images)).event.fields["images"] == images


@pytest.mark.parametrize(
    "text",
    [
        body("chunk", "FAILED", error="e" * 5_000_000),
        body("chunk", "FAILED", **{"k" * 5_000_000: "1"}),
        body("chunk", "FAILED", error="é" * 2_500_000),
        body("mosaic", "FINISHED", images=["i" * 2_500_000]),
        unescaped('"' + "\x00" * 800_000),  # six bytes each, once written
    ],
    ids=["text", "key", "é", "images", "control characters"],
)
def test_what_sqs_could_never_have_sent_and_no_object_could_hold_is_refused(text: str) -> None:
    assert "too large" in reason(text)


@pytest.mark.parametrize(
    "name",
    [
        "jobId",
        "messageId",
        "sentAt",
        "droppedBefore",
        "tileJson",
        "attempt",
        "updatedAt",
        "history",
        "catalog",
    ],
)
def test_a_reserved_field_is_dropped(name: str) -> None:
    text = json.dumps({name: "theirs", "jobId": "j", **fields("chunk", "FAILED", deep={name: 1})})
    # only where it would take the place of the object's own
    assert understood(text).event.fields == fields("chunk", "FAILED", deep={name: 1})


def test_a_lone_surrogate_in_a_recovered_text_or_a_refused_job_id_is_replaced_too() -> None:
    assert understood(unescaped('a"\ud800')).event.fields["error"] == 'a"\ufffd'
    assert "\\ufffd" in reason(json.dumps({"jobId": "\ud800", **fields("chunk", "STARTED")}))
    assert "\\ufffd" in reason(unescaped('a"', "j\ud800"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
nearly_messages = st.fixed_dictionaries(
    {},
    optional={
        "jobId": st.sampled_from(["j", "../x", "é"]) | json_values,
        "stage": st.sampled_from(["chunk", "mosaic"]) | json_values,
        "status": st.sampled_from(["STARTED", "FAILED", "FINISHED"]) | json_values,
        "target": st.sampled_from([TARGET, "/x"]) | json_values,
        "images": st.just(IMAGES) | json_values,
        "x": json_values,
    },
)


@given(st.text() | json_values.map(json.dumps) | nearly_messages.map(json.dumps) | st.text().map(unescaped))
def test_nothing_but_a_refusal_ever_comes_out_of_a_bad_message(text: str) -> None:
    try:
        message = understood(text)
    except InvalidMessage:
        return
    # AND what is understood can be written as strict JSON, in UTF-8
    assert json.loads(encode(message.event.fields).decode()) == message.event.fields


@pytest.mark.parametrize(
    ("text", "job_id"),
    [
        (body("chunk", "PAUSED"), "test-job"),
        (body("mosaic", "FINISHED", target="no URL"), "test-job"),
        (body("chunk", "STARTED", "../escape"), None),
        ("{}", None),
        ("poison", None),
    ],
)
def test_a_refusal_names_the_job_where_that_was_understood(text: str, job_id: str | None) -> None:
    with pytest.raises(InvalidMessage) as refused:
        parse("m", SENT, text)
    assert refused.value.job_id == job_id
