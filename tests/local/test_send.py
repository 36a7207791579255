"""What `make send STACK=...` hands to `sam remote invoke`."""

import json
import subprocess
import sys

from tests.deploy.translated import ROOT


def test_bodies_come_one_by_one_in_the_order_of_their_sending_and_nothing_is_sent() -> None:
    # GIVEN an event file whose records are out of order, and text with line breaks
    for name in ("full-job", "malformed-mosaic-failure"):
        path = ROOT / "events" / f"{name}.json"
        records = json.loads(path.read_text())["Records"]
        # WHEN its bodies are asked for, with no queue anywhere
        command = [sys.executable, "-m", "local.send", str(path), "--bodies"]
        done = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, check=True)
        # THEN xargs -0 gets each as it is
        *bodies, end = done.stdout.decode().split("\0")
        assert end == ""
        records.sort(key=lambda record: int(record["attributes"]["SentTimestamp"]))
        assert bodies == [record["body"] for record in records]
