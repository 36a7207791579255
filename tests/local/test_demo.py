"""The demo itself, as people run it."""

import json
import os
import pty
import re
import sys
from multiprocessing.connection import wait
from pathlib import Path

from tests import processes
from tests.docs.pages import DOCS, README, blocks

ESCAPE = "\x1b"

WITH_A_WRONG_EXPECTATION = """
import sys
from dataclasses import replace
from local.demo.run import main
from local.demo.scenario import SCENARIO, Expected
from tests import processes
wrong = replace(SCENARIO.jobs[2], expected=Expected("chunk", "FAILED", error="another error"))
sys.exit(main(replace(SCENARIO, jobs=(wrong, SCENARIO.jobs[3]), poison=SCENARIO.poison[:1])))
"""


def without_times(line: str) -> str:
    return re.sub(r"\d\d:\d\d:\d\d\.\d{3}|\(\d+\.\d s\)", "<time>", line)


def test_it_ends_well_and_a_pipe_gets_plain_lines(tmp_path: Path) -> None:
    # GIVEN an environment that points elsewhere
    environment = processes.environment() | {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_PROFILE": "nobody",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "OAM_CATALOG_URL": "http://127.0.0.1:9",
        "MOCK_OAM_API": "true",
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }
    log = tmp_path / "log" / "demo.log"

    # WHEN the demo runs in a pipe
    command = [sys.executable, "-m", "local.demo", "--seed", "3", "--log", str(log)]
    run = processes.run(command, env=environment)

    # THEN everything ended as it must, in plain lines, and the function's log is in its file alone
    assert (run.returncode, run.stderr) == (0, "")
    assert "Everything ended as its messages say" in run.stdout
    assert "../escape" in run.stdout
    assert "not 1 to 256" in run.stdout
    assert "WRONG" not in run.stdout
    assert ESCAPE not in run.stdout
    assert '"level"' not in run.stdout
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert any(line.get("message") == "Job status published" for line in lines)
    assert any("_aws" in line for line in lines)
    # AND it says what the pages show of it, but for the times
    shown = [*blocks(README, "console")[0].splitlines(), *blocks(DOCS / "local.md", "")[0].splitlines()]
    shown = [line for line in shown if not line.startswith(("$ ", "..."))]
    assert len(shown) > 10
    assert {without_times(line) for line in shown} <= {
        without_times(line) for line in run.stdout.splitlines()
    }


def test_a_wrong_expectation_is_told_and_exits_1(tmp_path: Path) -> None:
    # GIVEN a scenario that expects another error of a job than its messages say
    command = [sys.executable, "-c", WITH_A_WRONG_EXPECTATION, "--log", str(tmp_path / "demo.log")]

    # WHEN the demo runs
    run = processes.run(command)

    # THEN it says what is wrong, and that alone
    assert (run.returncode, run.stderr) == (1, "")
    assert run.stdout.count("WRONG") == 1
    assert "WRONG  chunk-fails" in run.stdout
    assert "not 'another error'" in run.stdout


def test_a_terminal_gets_a_table(tmp_path: Path) -> None:
    # GIVEN a terminal
    main, terminal = pty.openpty()
    screen = os.ttyname(terminal)

    # WHEN the demo runs in it
    process = processes.start_loaded(
        "local.demo",
        ["--log", str(tmp_path / "demo.log")],
        env=processes.environment(TERM="xterm", COLUMNS="120", LINES="40"),
        streams=(os.devnull, screen, screen),
    )
    shown = b""
    while main in wait([main, process.sentinel]):
        shown += os.read(main, 65_536)
    process.join()
    os.close(main)
    os.close(terminal)

    # THEN it draws a table, and no line of the function's log
    assert process.exitcode == 0
    text = re.sub(rf"{ESCAPE}\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert ESCAPE not in text
    assert "┃ job " in text
    assert re.search(r"│ not-yet-indexed +│ COMPLETE │ SUCCESS +│ 1 +│ NOTIFIED \(POST 2\) +│", text)
    assert '"level"' not in text


def test_a_log_that_cannot_be_written_is_told_without_a_traceback(tmp_path: Path) -> None:
    # GIVEN a folder where the log is to be

    # WHEN the demo runs
    run = processes.run_loaded("local.demo", ["--log", str(tmp_path)])

    # THEN it says so
    assert run.returncode == 1
    assert "Is a directory" in run.stderr
    assert "Traceback" not in run.stderr
