"""The model and the function tell the same of any set of messages."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from handler.job_status import JobStatus, fold
from handler.messages import parse
from handler.status_object import to_json
from tools.chaos import model

FIELDS = st.tuples(
    st.sampled_from(model.STEPS),
    st.sampled_from(["s3n://a.b/c/", "s3://A-b/c", "s3://a_b/c", "s3://a-b/c"]),
    st.lists(st.sampled_from(["/vsicurl/http://d", "http://d"]), max_size=3),
).map(
    lambda drawn: (
        {"stage": drawn[0][0], "status": drawn[0][1]}
        | ({"error": "e"} if drawn[0][1] == "FAILED" else {})
        | ({"target": drawn[1], "images": drawn[2]} if drawn[0] == ("mosaic", "FINISHED") else {})
    )
)
MESSAGES = st.lists(
    st.builds(
        lambda number, at, fields, more: model.Sent(f"m{number}", 1_700_000_000_000 + at, {**fields, **more}),
        st.integers(0, 999),
        st.integers(0, 9),
        FIELDS,
        st.dictionaries(
            st.sampled_from(["x", "catalog", "attempt", "history", "sentAt", "tileJson"]), st.integers()
        ),
    ),
    min_size=1,
    max_size=14,
    unique_by=lambda sent: sent.message_id,
)


@settings(max_examples=400)
@given(MESSAGES)
def test_model_and_function_agree(messages: list[model.Sent]) -> None:
    events = [
        parse(sent.message_id, str(sent.sent_at), json.dumps({"jobId": "j", **sent.fields})).event
        for sent in messages
    ]
    stored = json.loads(to_json("j", fold(JobStatus(), events)))
    history = stored.pop("history")
    ordered = model.in_order(messages)
    assert [entry["messageId"] for entry in history] == [sent.message_id for sent in ordered]
    assert stored == model.view("j", ordered, {entry["messageId"]: entry for entry in history})
