"""What is deployed: built by `sam build`, the same every time, and doing what the sources do."""

import fcntl
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from samcli.local.lambdafn.env_vars import EnvironmentVariables

from handler.settings import read_settings
from local.packaging.artifact import SERVICES, build, describe, find_python
from local.stack.catalog_server import CatalogServer
from local.stack.embedded import BUCKET, PORT, PREFIX
from tests import processes
from tests.conftest import TOKEN, Aws
from tests.deploy.translated import ROOT, Stack
from tests.runtime.emulator import LambdaRuntime, runtime_client

pytestmark = pytest.mark.timeout(200)

EVENTS = sorted(path for path in (ROOT / "events").glob("*.json") if path.name != "env.json")


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Build with sam, as `make build` does, but elsewhere; once, whichever of the suite's processes is first."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    target = shared / "built" / "StatusPublisher"
    with (shared / "built.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            command: list[str | Path] = [ROOT / ".venv/bin/sam", "build", "--build-dir", target.parent]
            done = processes.run(command, cwd=ROOT, timeout=180)
            assert done.returncode == 0, done.stderr
    return target


def test_two_builds_are_the_same_to_the_byte(built: Path, tmp_path: Path) -> None:
    build(tmp_path / "again")
    assert hashes(tmp_path / "again") == hashes(built)


def test_the_artifact_holds_the_function_and_nothing_that_it_does_not_need(built: Path) -> None:
    names = hashes(built)
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "handler").glob("*.py")}
    assert {name for name in names if name.startswith("handler/") and "__pycache__" not in name} == sources
    data = {path.name for path in (built / "botocore" / "data").iterdir() if path.is_dir()}
    assert data == SERVICES
    endpoints = json.loads((built / "botocore" / "data" / "endpoints.json").read_text())["partitions"]
    assert [partition["partition"] for partition in endpoints][:2] == ["aws", "aws-cn"]
    assert set().union(*(partition["services"] for partition in endpoints)) == SERVICES
    # AND none of what boto3 has for resources, which the function does not use
    assert not list((built / "boto3").glob("data/*"))
    assert not [name for name in names if re.search(r"(^|/)(tests?|bin|examples)/|RECORD$|\.so$", name)]
    assert {"local", "tests", "events"}.isdisjoint(path.name for path in built.iterdir())
    # AND it is far below Lambda's limit of 250 MB, and below its own of last time
    assert sum((built / name).stat().st_size for name in names) < 20_000_000


def test_the_artifact_carries_a_botocore_that_knows_conditional_writes(built: Path) -> None:
    found = [path.name for path in built.glob("botocore-*.dist-info")]
    assert found
    version = tuple(map(int, found[0].removeprefix("botocore-").removesuffix(".dist-info").split(".")))
    assert version >= (1, 35, 70)


def test_bytecode_is_for_the_functions_python_and_is_not_checked_against_times(built: Path) -> None:
    compiled = list((built / "handler" / "__pycache__").glob("*.pyc"))
    if not compiled:
        assert "WITHOUT bytecode" in describe(built)
        return
    assert {path.name.split(".")[1] for path in compiled} == {"cpython-313"}
    for path in built.rglob("*.pyc"):
        # PEP 552: bit 0 hash-based, bit 1 checked
        assert int.from_bytes(path.read_bytes()[4:8], "little") == 0b01, path
    assert "with bytecode of Python 3.13" in describe(built)


def test_a_host_without_the_functions_python_ships_sources_and_says_so(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.packaging.artifact._candidates", lambda: iter(["/nowhere/python3.13"]))
    # (The packages are those of the first build, in place of pip's once more.)
    without = shutil.ignore_patterns("handler", "__pycache__")
    monkeypatch.setattr(
        "local.packaging.artifact._install", lambda target: shutil.copytree(built, target, ignore=without)
    )
    build(tmp_path / "sources")
    assert not list((tmp_path / "sources").rglob("*.pyc"))
    assert "WITHOUT bytecode" in describe(tmp_path / "sources")


def test_a_package_index_that_gives_something_else_stops_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hash-pinned: a wheel that was changed is not deployed."""
    (tmp_path / "handler").mkdir()
    text = (ROOT / "requirements.txt").read_text()
    (tmp_path / "requirements.txt").write_text(re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", text))
    monkeypatch.setattr("local.packaging.artifact.ROOT", tmp_path)
    with pytest.raises(Exception, match="pip failed"):
        build(tmp_path / "target")


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str]]:
    """Give the Python that is to run the artifact, and what it needs to find AWS's runtime client.

    The function's own where this host has it, so that the artifact's bytecode is what runs; else this one, on the
    artifact's sources.
    """
    return runtime_client(tmp_path_factory.mktemp("runtime"))


def outcome(s3: Any, bucket: str, answer: Any) -> dict[str, Any]:
    """Say what came of an event, but for the times at which it was done; and empty the bucket."""
    found = {"answer": answer}
    for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        status = json.loads(s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())
        status.get("catalog", {}).pop("updatedAt", None)
        found[entry["Key"]] = status
        s3.delete_object(Bucket=bucket, Key=entry["Key"])
    return found


def delivered(function: LambdaRuntime, event: Any) -> Any:
    """Deliver an event, and what fails of it once more, as SQS does: S3 may be late on a busy machine."""
    failures = function.invoke(event)["batchItemFailures"]
    failed = {failure["itemIdentifier"] for failure in failures}
    return function.invoke({"Records": [one for one in event["Records"] if one["messageId"] in failed]})


def errors(function: LambdaRuntime) -> set[str]:
    """Give the errors of all deliveries, but for that of a late S3: `delivered` looks at the last answers alone."""
    lines = [json.loads(line) for line in function.own_lines() if line.startswith("{")]
    return {line["error"] for line in lines if "error" in line} - {"StatusStoreError"}


def test_the_built_artifact_does_with_every_event_file_what_the_sources_do(
    built: Path,
    aws: Aws,
    environment: dict[str, str],
    runtime: tuple[str, dict[str, str]],
    tmp_path: Path,
) -> None:
    python, path = runtime
    events = {event.stem: json.loads(event.read_text()) for event in EVENTS}
    assert len(events) >= 11
    s3 = aws.s3
    with CatalogServer(TOKEN) as catalog:
        environment |= {"OAM_CATALOG_URL": catalog.url, "OAM_API_TOKEN": TOKEN, "MOCK_OAM_API": "false"}
        with LambdaRuntime(ROOT, environment, tmp_path) as sources:
            # GIVEN what the sources do with each
            expected = {n: outcome(s3, aws.bucket, delivered(sources, event)) for n, event in events.items()}
            expected_errors = errors(sources)
        with LambdaRuntime(built, environment | path, tmp_path, python) as artifact:
            # WHEN the artifact gets them
            found = {n: outcome(s3, aws.bucket, delivered(artifact, event)) for n, event in events.items()}
            found_errors = errors(artifact)
    # THEN they do the same
    assert found == expected
    assert all(len(one) > 1 for one in found.values())
    # AND no first delivery failed where the sources' does not
    assert found_errors == expected_errors
    assert "InvalidMessage" in expected_errors


def test_it_is_the_artifacts_own_packages_and_bytecode_that_run(
    built: Path, runtime: tuple[str, dict[str, str]], environment: dict[str, str]
) -> None:
    python, path = runtime
    code = "import handler.app as app, botocore, requests, sys; print(*(m.__cached__ for m in (app, botocore, requests)))"
    command = [python, "-c", code]
    done = processes.run(command, cwd=built, env=environment | path, check=True)
    used = [Path(name) for name in done.stdout.split()]
    assert len(used) == 3
    assert all(name.is_relative_to(built) for name in used)
    assert [name.exists() for name in used] == [find_python() is not None] * 3


def test_sam_local_invoke_gives_the_function_an_environment_that_it_can_work_with() -> None:
    # GIVEN what the template declares, and what events/env.json overrides, as sam puts them together
    declared = Stack().properties("StatusPublisher")["Environment"]["Variables"]
    own = json.loads((ROOT / "events" / "env.json").read_text())
    assert set(own) == {"StatusPublisher"}
    resolved = EnvironmentVariables(
        "StatusPublisher", variables=declared, override_values=own["StatusPublisher"]
    )
    # THEN nothing of it was dropped as undeclared
    found = resolved.resolve()
    assert own["StatusPublisher"].items() <= found.items()
    # AND the function works against the embedded stack, and tells no catalog
    settings = read_settings({name: str(value) for name, value in found.items()})
    assert found["AWS_ENDPOINT_URL"] == f"http://host.docker.internal:{PORT}"
    assert (settings.bucket, settings.prefix) == (BUCKET, PREFIX)
    assert settings.mock_catalog
    # AND no queue: sam gives its logical name in place of its URL, and an event file's receipts are of none
    assert settings.queue_url is None
