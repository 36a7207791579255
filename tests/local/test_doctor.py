"""`oam-status doctor`: each check by itself, and the command as a process."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from local.cli import checks
from local.cli.doctor import run_checks
from local.cli.findings import Finding, Result, ok
from local.stack.catalog_server import CatalogServer
from local.stack.embedded import FUNCTION_TIMEOUT, Stack
from tests.conftest import REGION, Aws, stack_of_its_own
from tests.deploy.translated import TEMPLATE
from tests.integration.fault_proxy import Fault, FaultProxy
from tests.local.deployed import OUTPUTS, deploy
from tests.local.tools import NAMED, tool
from tests.ports import free_port

NAMES = [
    "settings",
    "credentials",
    "queue",
    "dead-letter queue",
    "bucket",
    "conditional writes",
    "token",
    "catalog",
]
SETTINGS = {
    "AWS_REGION": "us-east-1",
    "OAM_STATUS_BUCKET": "bucket",
    "OAM_STATUS_PREFIX": "status",
    "OAM_API_TOKEN": "token",
}


def not_sent(token: str, kept: Finding) -> Finding:
    """Stand for a catalog that is not asked."""
    return kept


def queue(aws: Aws, visibility: int = 420, *, dead_letters: bool = True) -> str:
    """Make a queue; return its URL."""
    sqs, name = aws.client("sqs"), f"q-{uuid.uuid4().hex[:8]}"
    attributes = {"VisibilityTimeout": str(visibility)}
    if dead_letters:
        sqs.create_queue(QueueName=f"{name}-dead")
        arn = f"arn:aws:sqs:{REGION}:123456789012:{name}-dead"
        attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
    url: str = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url


def test_settings_that_are_wrong_are_all_named() -> None:
    assert checks.check_settings(SETTINGS).result is Result.OK
    found = checks.check_settings({"AWS_REGION": "us-east-1", "OAM_STATUS_PREFIX": "status"})
    assert found.result is Result.WRONG
    assert found.found.startswith("OAM_STATUS_BUCKET is not set; OAM_API_TOKEN is not set, nor")


def test_credentials_say_whose_they_are(aws: Aws) -> None:
    assert checks.check_credentials(aws.client("sts")) == ok("arn:aws:sts::123456789012:user/moto")


def test_credentials_that_are_refused_are_wrong_but_not_those_that_a_store_cannot_name(aws: Aws) -> None:
    # GIVEN a server that refuses credentials, and then one that knows no such call
    with FaultProxy(aws.url) as proxy:
        proxy.faults.append(Fault("POST", answer=(403, "InvalidClientTokenId")))
        proxy.faults.append(Fault("POST", answer=(405, "MethodNotAllowed")))

        # THEN the first is wrong, and the second says nothing
        refused = checks.check_credentials(aws.client("sts", proxy.url))
        unknown = checks.check_credentials(aws.client("sts", proxy.url))
    assert refused.result is Result.WRONG
    assert "InvalidClientTokenId" in refused.found
    assert unknown.result is Result.NOT_ASKED
    assert "does not say whose they are (MethodNotAllowed)" in unknown.found


def test_no_credentials_are_wrong() -> None:
    class Sts:
        def get_caller_identity(self) -> None:
            raise NoCredentialsError

    sts: Any = Sts()
    found = checks.check_credentials(sts)
    assert (found.result, found.found) == (Result.WRONG, "Unable to locate credentials")


@pytest.mark.parametrize(
    ("visibility", "timeout", "window", "result"),
    [
        (360, None, None, Result.OK),
        (359, None, None, Result.WRONG),
        (420, 60, 60, Result.OK),
        (419, 60, 60, Result.WRONG),
        (360, 120, None, Result.WRONG),
    ],
)
def test_a_visibility_under_six_timeouts_and_the_window_is_wrong(
    aws: Aws, visibility: int, timeout: int | None, window: int | None, result: Result
) -> None:
    found = checks.check_queue(aws.client("sqs"), queue(aws, visibility), timeout, lambda _: window)
    assert found.result is result
    if found.todo:
        least = 6 * (timeout or 60) + (window or 0)
        assert found.todo == f"Set it to {least} s or more: aws sqs set-queue-attributes."


def test_a_batching_window_that_may_not_be_seen_is_said_to_be_unknown(aws: Aws) -> None:
    # GIVEN a Lambda that does not show its mappings
    with FaultProxy(aws.url) as proxy:
        proxy.faults.append(Fault("GET", answer=(403, "AccessDeniedException")))

        # WHEN the queue is looked at
        functions = aws.client("lambda", proxy.url)
        found = checks.check_queue(
            aws.client("sqs"), queue(aws), 60, lambda arn: checks.batching_window(functions, arn)
        )

    # THEN it is judged by the timeout, and the rest is said
    assert found.result is Result.OK
    assert found.found.endswith("6 x 60 s (the function's timeout; the batching window is not known)")


def test_the_timeout_that_is_taken_where_none_is_known_is_the_templates() -> None:
    assert TEMPLATE["Parameters"]["FunctionTimeout"]["Default"] == FUNCTION_TIMEOUT


def test_a_queue_that_is_not_there_or_not_named_is_wrong(aws: Aws) -> None:
    sqs, url = aws.client("sqs"), queue(aws)
    to_try: list[Callable[[str], Finding]] = [
        lambda it: checks.check_queue(sqs, it, None, lambda _: None),
        lambda it: checks.check_dead_letter_queue(sqs, it),
    ]
    for check in to_try:
        missing, unnamed, name = check(f"{url}-x"), check(""), check(url.rpartition("/")[2])
        assert missing.todo == "Correct OAM_STATUS_SQS_QUEUE_URL, or deploy the stack."
        assert unnamed.found == "OAM_STATUS_SQS_QUEUE_URL is not set"
        # A name, which moto takes for the queue's URL, too.
        assert name.found == "OAM_STATUS_SQS_QUEUE_URL is not an http(s):// URL"


def test_a_queue_without_a_dead_letter_queue_is_wrong_and_dead_letters_are_counted(aws: Aws) -> None:
    sqs, without, url = aws.client("sqs"), queue(aws, dead_letters=False), queue(aws)
    assert checks.check_dead_letter_queue(sqs, without).result is Result.WRONG
    assert checks.check_dead_letter_queue(sqs, url).found.endswith("-dead holds 0 messages")
    sqs.send_message(QueueUrl=f"{url}-dead", MessageBody="x")
    assert "holds 1 message; `oam-status dead-letters`" in checks.check_dead_letter_queue(sqs, url).found
    sqs.receive_message(QueueUrl=f"{url}-dead")  # in flight, it is counted, too
    sqs.send_message(QueueUrl=f"{url}-dead", MessageBody="x")
    assert "holds 2 messages; `oam-status dead-letters`" in checks.check_dead_letter_queue(sqs, url).found


@pytest.mark.parametrize(
    ("answer", "todo"),
    [
        ((403, "AccessDenied"), "Allow s3:GetObject on its objects and s3:ListBucket on it."),
        ((404, "NoSuchBucket"), "Create it, or correct OAM_STATUS_BUCKET."),
        ((500, "InternalError"), "Find out what the store means."),
    ],
)
def test_a_bucket_that_does_not_say_what_is_missing_is_wrong(
    aws: Aws, answer: tuple[int, str], todo: str
) -> None:
    # GIVEN a bucket, and one that answers otherwise
    with FaultProxy(aws.url) as proxy:
        s3 = aws.client("s3", proxy.url)
        assert checks.check_bucket(s3, aws.bucket, "status").result is Result.OK
        proxy.faults.append(Fault("GET", answer=answer))

        # THEN that is wrong, with what to do
        found = checks.check_bucket(s3, aws.bucket, "status")
    assert (found.result, found.todo) == (Result.WRONG, todo)


@pytest.fixture
def secret(aws: Aws) -> Callable[..., Finding]:
    """Return what is found of a secret with a value."""
    secrets = aws.client("secretsmanager")

    def found(**value: Any) -> Finding:
        arn = secrets.create_secret(Name=f"s-{uuid.uuid4().hex[:8]}", **value)["ARN"]
        return checks.check_token(secrets, {"OAM_API_TOKEN_SECRET_ARN": arn}, not_sent)

    return found


def test_a_secret_that_holds_no_token_is_wrong_and_never_shown(secret: Callable[..., Finding]) -> None:
    assert secret(SecretString="s3cret").result is Result.OK
    assert secret(SecretString='{"token": "s3cret"}').result is Result.OK
    for value, why in (
        ({"SecretString": "s3cret with spaces"}, "it has a character that can't stand in a header"),
        ({"SecretString": '{"a": "s3cret", "b": "s3cret"}'}, "it is a JSON object with 2 string values"),
        ({"SecretBinary": b"s3cret"}, "it is binary"),
        ({}, "can't find the specified secret value"),
    ):
        found = secret(**value)
        assert (found.result, found.todo) == (
            Result.WRONG, "Put the token there: aws secretsmanager put-secret-value."
        )  # fmt: skip
        assert why in found.found
        assert "s3cret" not in found.found


@pytest.mark.parametrize(
    ("variables", "result"),
    [
        ({"OAM_API_TOKEN": "token", "OAM_API_TOKEN_SECRET_ARN": "arn:x"}, Result.OK),
        ({"OAM_API_TOKEN": "a token"}, Result.WRONG),
        ({}, Result.WRONG),
        ({"MOCK_OAM_API": "True"}, Result.NOT_ASKED),
    ],
)
def test_the_token_is_looked_for_where_the_function_does(variables: dict[str, str], result: Result) -> None:
    assert checks.check_token(None, variables, not_sent).result is result  # type: ignore[arg-type] # no client is used


def test_the_token_that_the_catalog_is_asked_of_is_the_one_that_the_function_reads(aws: Aws) -> None:
    secrets = aws.client("secretsmanager")
    arn = secrets.create_secret(Name=f"s-{uuid.uuid4().hex[:8]}", SecretString='{"token": " kept "}')["ARN"]
    asked = []

    def ask(token: str, kept: Finding) -> Finding:
        asked.append(token)
        return kept

    in_secret = {"OAM_API_TOKEN_SECRET_ARN": arn}
    for variables in ({"OAM_API_TOKEN": " set "} | in_secret, in_secret):
        checks.check_token(secrets, variables, ask)
    assert asked == ["set", "kept"]


def test_a_check_that_hangs_or_raises_leaves_the_others_alone() -> None:
    # GIVEN a check that hangs, one that raises, and a good one
    def raises() -> Finding:
        raise ZeroDivisionError("zero")

    def hangs() -> Finding:
        time.sleep(15)
        return ok("late")

    # WHEN they run
    began, over = time.monotonic(), list[int]()
    found = run_checks({"hangs": hangs, "raises": raises, "good": lambda: ok("good")}, 0.2, over.append)

    # THEN each says what it found, in time
    assert time.monotonic() - began < 10
    assert found["hangs"].found == "not done after 0.2 s"
    assert (found["raises"].result, found["raises"].found) == (Result.WRONG, "ZeroDivisionError: zero")
    assert found["good"] == ok("good")
    assert over == [1, 2, 3]


def test_ctrl_c_waits_for_what_is_in_hand() -> None:
    # GIVEN a check that has to remove something in the end, and Ctrl-C meanwhile
    removed = []

    def removes() -> Finding:
        time.sleep(0.2)
        removed.append("its object")
        return ok("removed")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    # WHEN they run
    with pytest.raises(KeyboardInterrupt):
        run_checks({"quick": lambda: ok("quick"), "removes": removes}, 5, interrupt)

    # THEN it was waited for
    assert removed == ["its object"]


@pytest.fixture
def running() -> Iterator[tuple[Stack, str]]:
    """An embedded stack where other processes find it, and its port."""
    port = free_port()
    with stack_of_its_own(port) as stack:
        yield stack, str(port)


def test_all_is_well_with_the_embedded_stack_and_nothing_of_it_is_changed(
    running: tuple[Stack, str],
) -> None:
    # GIVEN the embedded stack
    stack, port = running

    # WHEN it is looked at
    run = tool("doctor", "--port", port)

    # THEN all is well, in a table that fits 80 columns
    assert (run.returncode, run.stderr) == (0, f"Stack: embedded, at {stack.url}\n")
    assert "\x1b" not in run.stdout
    assert max(map(len, run.stdout.splitlines())) <= 80
    rows = [line.split("  ")[0].strip() for line in run.stdout.splitlines()]
    assert [row for row in rows if row in NAMES] == NAMES
    assert "wrong " not in run.stdout.replace("a wrong token", "").replace("wrong token", "")
    assert "the catalog takes it" in " ".join(run.stdout.split())
    # AND nothing is left, and the catalog was asked of two tokens, and told nothing
    assert "Contents" not in stack.s3.list_objects_v2(Bucket="oam-status")
    assert [(request.method, request.json) for request in stack.catalog.requests] == [("POST", {})] * 2
    assert stack.catalog.entries == {}


def test_what_is_wrong_exits_1_and_json_is_one_document(aws: Aws) -> None:
    # GIVEN a stack in the environment without a dead-letter queue, and half of it not there
    variables = NAMED | {
        "AWS_ENDPOINT_URL": aws.url,
        "OAM_STATUS_BUCKET": aws.bucket,
        "OAM_STATUS_PREFIX": "",
        "OAM_STATUS_SQS_QUEUE_URL": queue(aws, dead_letters=False),
    }

    # WHEN it is looked at
    run = tool("doctor", "--json", **variables)

    # THEN what is wrong is said, each by itself, and the rest too
    document = json.loads(run.stdout)
    assert (run.returncode, document["ok"]) == (1, False)
    assert {each["check"]: each["result"] for each in document["checks"]} == {
        "settings": "wrong",
        "credentials": "ok",
        "queue": "ok",
        "dead-letter queue": "wrong",
        "bucket": "ok",
        "conditional writes": "wrong",
        "token": "not asked",
        "catalog": "not asked",
    }
    assert all(bool(each["todo"]) == (each["result"] == "wrong") for each in document["checks"])


def test_a_token_that_the_catalog_refuses_is_wrong_and_not_shown(aws: Aws) -> None:
    # GIVEN a stack with a token that the catalog does not take any more
    with CatalogServer("new-token") as catalog:
        variables = NAMED | {
            "AWS_ENDPOINT_URL": aws.url,
            "MOCK_OAM_API": "",
            "OAM_STATUS_BUCKET": aws.bucket,
            "OAM_STATUS_SQS_QUEUE_URL": queue(aws),
            "OAM_CATALOG_URL": catalog.url,
            "OAM_API_TOKEN": "old-token",
        }

        # WHEN it is looked at
        run = tool("doctor", "--json", **variables)

    # THEN the token is what is wrong, not the catalog
    found = {each["check"]: each for each in json.loads(run.stdout)["checks"]}
    assert (run.returncode, found["catalog"]["result"], found["token"]["result"]) == (1, "ok", "wrong")
    assert "the catalog refuses the function's token: HTTP 401" in found["token"]["found"]
    assert "old-token" not in run.stdout + run.stderr
    assert catalog.entries == {}


def test_a_deployed_stack_is_judged_by_its_own_function_and_mapping(aws: Aws) -> None:
    # GIVEN a deployed stack whose function takes longer than its queue was made for
    name = deploy(aws, timeout=120, visibility=420, MOCK_OAM_API="true")

    # WHEN it is looked at by its name
    run = tool("doctor", "--stack", name, "--json", **NAMED, AWS_ENDPOINT_URL=aws.url)

    # THEN the queue's visibility is wrong, and nothing else
    document = json.loads(run.stdout)
    assert run.returncode == 1
    wrong = {each["check"]: each["found"] for each in document["checks"] if each["result"] == "wrong"}
    assert list(wrong) == ["queue"]
    assert "less than 6 x 120 s + 1 s of batching (the function's timeout)" in wrong["queue"]


def test_the_outputs_of_the_stack_here_are_the_templates() -> None:
    assert OUTPUTS.keys() <= TEMPLATE["Outputs"].keys()


def test_where_no_embedded_stack_runs_that_is_said_once() -> None:
    run = tool("doctor", "--port", str(free_port()))
    assert run.returncode == 1
    assert run.stdout == ""
    assert "`make start` in another terminal starts it" in run.stderr


def test_a_region_that_is_missing_is_a_matter_of_configuration() -> None:
    run = tool("doctor", OAM_STATUS_BUCKET="bucket")
    assert run.returncode == 2
    assert "You must specify a region" in run.stderr
