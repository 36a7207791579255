"""The checks of `oam-status doctor` that ask AWS, or nothing at all; each stands for itself."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, HTTPClientError

from handler.aws_errors import error_code, http_status
from handler.settings import SettingsError, read_settings
from handler.tokens import SENDABLE, token_in
from local.cli.findings import Finding, not_asked, ok, wrong
from local.cli.queues import NoQueue, attributes, count, find_dead_letter_queue
from local.cli.urls import is_http_url
from local.stack.embedded import FUNCTION_TIMEOUT, VISIBILITY_PER_TIMEOUT

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sts import STSClient

_SET_QUEUE_URL = "Set it to the queue's URL."
_NO_QUEUE_URL = wrong("OAM_STATUS_SQS_QUEUE_URL is not set", _SET_QUEUE_URL)
# moto and some clients take a queue's name, too; the function does not.
_ODD_QUEUE_URL = wrong("OAM_STATUS_SQS_QUEUE_URL is not an http(s):// URL", _SET_QUEUE_URL)
_AWS_SAYS_NO = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)


def check_settings(variables: Mapping[str, str]) -> Finding:
    """Read the function's settings as the function does."""
    try:
        settings = read_settings(variables)
    except SettingsError as error:
        found = str(error).partition(": ")[2].rstrip(".")
        return wrong(found, "Correct them; sample.env describes each one.")
    return ok(f"complete: s3://{settings.bucket}/{settings.prefix.strip('/')}, {settings.region}")


def check_credentials(sts: "STSClient") -> Finding:
    """Ask whose the credentials are, which needs no permission.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
    """
    try:
        return ok(sts.get_caller_identity()["Arn"])
    except ClientError as error:
        if error_code(error) in _AWS_SAYS_NO:
            return wrong(str(error), "Log in again, or correct AWS's variables or profile.")
        # Ceph and MinIO have no such call; whether they take the credentials is for the other checks.
        return not_asked(
            f"{sts.meta.endpoint_url} does not say whose they are ({error_code(error) or http_status(error)})"
        )
    except (EndpointConnectionError, HTTPClientError) as error:
        return _unreachable(error)
    except BotoCoreError as error:
        return wrong(str(error), "Log in, or set AWS's variables or profile; sample.env names them.")


def check_queue(
    sqs: "SQSClient", queue_url: str, timeout: int | None, window_of: Callable[[str], int | None]
) -> Finding:
    """Look at the queue and its visibility timeout.

    Args:
        sqs: the queue's client.
        queue_url: the queue.
        timeout: the function's, in seconds; None where it is not known.
        window_of: returns the seconds in which Lambda gathers a batch of the queue with an ARN; None where
            that is not known.
    """
    if not is_http_url(queue_url):
        return _ODD_QUEUE_URL if queue_url else _NO_QUEUE_URL
    try:
        found = attributes(sqs, queue_url, "QueueArn", "VisibilityTimeout")
    except (BotoCoreError, ClientError) as error:
        return _unreachable(error)
    visibility, window = int(found["VisibilityTimeout"]), window_of(found["QueueArn"])
    least = VISIBILITY_PER_TIMEOUT * (timeout or FUNCTION_TIMEOUT) + (window or 0)
    wanted = f"{VISIBILITY_PER_TIMEOUT} x {timeout or FUNCTION_TIMEOUT} s"
    wanted += f" + {window} s of batching" if window else ""
    wanted += " (the function's timeout" if timeout else " (the template's default timeout"
    wanted += "; the batching window is not known)" if timeout and window is None else ")"
    if visibility >= least:
        return ok(f"its visibility timeout of {visibility} s is at least {wanted}")
    return wrong(
        f"its visibility timeout of {visibility} s is less than {wanted}:"
        " messages come back while a batch is at work",
        f"Set it to {least} s or more: aws sqs set-queue-attributes.",
    )


def batching_window(function: "LambdaClient", queue_arn: str) -> int | None:
    """Return the longest batching window of a queue's mappings, in seconds.

    None if there is no mapping, or who asks may not see it.
    """
    try:
        found = function.list_event_source_mappings(EventSourceArn=queue_arn)["EventSourceMappings"]
    except (BotoCoreError, ClientError):
        return None
    return max((mapping.get("MaximumBatchingWindowInSeconds", 0) for mapping in found), default=None)


def check_dead_letter_queue(sqs: "SQSClient", queue_url: str) -> Finding:
    """Look for the queue's dead-letter queue, and what is in it."""
    if not is_http_url(queue_url):
        return _ODD_QUEUE_URL if queue_url else _NO_QUEUE_URL
    try:
        url, _ = find_dead_letter_queue(sqs, queue_url)
        held = count(sqs, url)
    except NoQueue:
        return wrong(
            "the queue has none: a message that can't succeed comes back until it is too old",
            "Give the queue a redrive policy, as template.yaml does.",
        )
    except (BotoCoreError, ClientError) as error:
        return _unreachable(error)
    letters = held.visible + held.in_flight
    look = "; `oam-status dead-letters` shows them" if letters else ""
    return ok(f"{url.rpartition('/')[2]} holds {letters} message{'' if letters == 1 else 's'}{look}")


def check_bucket(s3: "S3Client", bucket: str, prefix: str) -> Finding:
    """Read an object that is not there, as the function does for a job's first message.

    S3 answers 404 to that only with s3:ListBucket (else 403), and the function needs the 404.
    """
    if not bucket:
        return wrong("OAM_STATUS_BUCKET is not set", "Set it to the bucket's name.")
    key = f"{prefix.strip('/')}/oam-status-doctor-is-not-there"
    try:
        s3.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error_code(error) == "NoSuchKey":
            return ok(f"{bucket}: reads, and says what is not there")
        todo = {
            "NoSuchBucket": "Create it, or correct OAM_STATUS_BUCKET.",
            "AccessDenied": "Allow s3:GetObject on its objects and s3:ListBucket on it.",
        }
        return wrong(f"{bucket}: {error}", todo.get(error_code(error), "Find out what the store means."))
    except BotoCoreError as error:
        return _unreachable(error)
    return wrong(f"{bucket} has an object {key}", "Remove it: this check wants it not to be there.")


def check_token(
    secrets: "SecretsManagerClient", variables: Mapping[str, str], ask: Callable[[str, Finding], Finding]
) -> Finding:
    """Look for the catalog's token where the function does, and whether it is a possible one.

    Args:
        secrets: a client, for a token that is kept in a secret.
        variables: the function's environment.
        ask: tries a possible token, given what was found of where it is kept.
    """
    if is_mocked(variables):
        return not_asked("MOCK_OAM_API is true: no token is needed")
    if token := variables.get("OAM_API_TOKEN", "").strip():
        if SENDABLE.fullmatch(token):
            return ask(token, ok("OAM_API_TOKEN is set, and a possible token"))
        return wrong("OAM_API_TOKEN has a character that can't stand in an HTTP header", "Set it again.")
    if arn := variables.get("OAM_API_TOKEN_SECRET_ARN", "").strip():
        return _check_secret(secrets, arn, ask)
    return wrong(
        "neither OAM_API_TOKEN nor OAM_API_TOKEN_SECRET_ARN is set",
        "Set one of them, or MOCK_OAM_API=true to do without the catalog.",
    )


def _check_secret(
    secrets: "SecretsManagerClient", arn: str, ask: Callable[[str, Finding], Finding]
) -> Finding:
    put = "Put the token there: aws secretsmanager put-secret-value."
    try:
        token = token_in(secrets.get_secret_value(SecretId=arn)["SecretString"])
    except KeyError:
        return wrong(f"{arn} holds no token: it is binary", put)
    except ValueError as error:
        return wrong(f"{arn} holds no token: it {error}", put)
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundException":  # also of a secret without a value
            return wrong(f"{arn}: {error}", put)
        return wrong(f"{arn}: {error}", "Allow secretsmanager:GetSecretValue, and kms:Decrypt with its key.")
    except BotoCoreError as error:
        return _unreachable(error)
    return ask(token, ok(f"{arn} is readable, and holds a possible token"))


def is_mocked(variables: Mapping[str, str]) -> bool:
    """Return whether the function is to send nothing to the catalog."""
    return variables.get("MOCK_OAM_API", "").strip().lower() == "true"


def _unreachable(error: BotoCoreError | ClientError) -> Finding:
    if error_code(error) in {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}:
        return wrong(str(error), "Correct OAM_STATUS_SQS_QUEUE_URL, or deploy the stack.")
    if error_code(error) in {"AccessDenied", "AccessDeniedException"}:
        return wrong(str(error), "Allow sqs:GetQueueAttributes and sqs:GetQueueUrl on both queues.")
    return wrong(str(error), "Find out why it does not answer: credentials, region, AWS_ENDPOINT_URL.")
