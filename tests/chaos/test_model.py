"""The model and the function tell the same of any set of messages."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from handler.job_status import JobStatus, fold, to_json
from handler.messages import parse
from tests.chaos import model

FIELDS = st.sampled_from(model.STEPS).map(
    lambda step: (
        {"stage": step[0], "status": step[1]}
        | ({"error": "e"} if step[1] == "FAILED" else {})
        | (
            {"target": "s3n://a.b/c/", "images": ["/vsicurl/http://d"]}
            if step == ("mosaic", "FINISHED")
            else {}
        )
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


@settings(max_examples=400, deadline=None)
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
