"""The Lambda function: wiring, and the handler."""

import functools
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit, single_metric
from aws_lambda_powertools.utilities.data_classes import SQSEvent
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from handler.batch import BatchRunner
from handler.catalog_entry import CatalogState
from handler.circuit_breaker import CircuitBreaker
from handler.deadline import Deadline, Timeout
from handler.log import make_logger, set_debug
from handler.notifier import Notifier
from handler.outcomes import Outcome, Report
from handler.publisher import Publisher
from handler.queue import Queue
from handler.settings import Settings, read_settings
from handler.status_store import StatusStore
from handler.tokens import SecretToken

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from handler.catalog import Catalog, MockCatalog

WORKERS = 32  # concurrent jobs; each has at most one request under way

SERVICE = "oam-status-publisher"
NAMESPACE = "OpenAerialMap"

logger = make_logger(SERVICE)
metrics = Metrics(namespace=NAMESPACE, service=SERVICE)


def wire(settings: Settings) -> BatchRunner:
    """Make the clients, and put the parts together."""
    # One attempt a call: the caller retries, which knows how much time there is.
    config = Config(
        connect_timeout=Timeout.AWS_CONNECT,
        read_timeout=Timeout.AWS_READ,
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=WORKERS,
        s3={"addressing_style": "path" if settings.path_style else "auto"},
    )
    client = functools.partial(boto3.session.Session(region_name=settings.region).client, config=config)
    s3 = client("s3")
    s3.meta.events.register_last("before-call.s3", _remove_expect_header)
    store = StatusStore(s3, settings.bucket, settings.prefix)
    # Made when they are needed first: most batches finish no job and fail no message.
    catalog = functools.cache(
        functools.partial(_catalog, settings, functools.partial(client, "secretsmanager"))
    )
    done = CatalogState.MOCKED if settings.mock_catalog else CatalogState.NOTIFIED
    notifier = Notifier(catalog, done, CircuitBreaker(time.time), settings.tiles_base, logger)
    queue = None
    if settings.queue_url:
        queue = Queue(functools.cache(functools.partial(client, "sqs")), settings.queue_url, logger)
    return BatchRunner(Publisher(store, notifier, settings.tiles_base, logger), queue, WORKERS, logger)


def _remove_expect_header(params: dict[str, Any], **_: object) -> None:
    """Remove a request's Expect header: botocore would wait up to a second for the 100."""
    params["headers"].pop("Expect", None)


def _catalog(
    settings: Settings, make_client: "Callable[[], SecretsManagerClient]"
) -> "Catalog | MockCatalog":
    from handler.catalog import Catalog, MockCatalog  # noqa: PLC0415 (late: requests is a tenth of a cold start)

    if settings.mock_catalog:
        return MockCatalog()
    if settings.token:
        return Catalog(settings.catalog_url, lambda *_: settings.token, WORKERS)
    token = SecretToken(settings.token_secret, functools.cache(make_client), logger)
    return Catalog(settings.catalog_url, token, WORKERS)


@functools.cache
def _runner() -> BatchRunner:
    """Wire the parts once. A SettingsError is not cached: each invocation raises it until it is fixed."""
    settings = read_settings(os.environ)
    set_debug(logger, debug=settings.debug)
    return wire(settings)


# Not the event, whatever POWERTOOLS_LOGGER_LOG_EVENT says: it is the whole batch.
@logger.inject_lambda_context(log_event=False)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> "PartialItemFailureResponse":
    """Publish a batch of the tiler's messages (`event` is an SQS event).

    Returns:
        The messages that failed, so that SQS retries those alone
        (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html). Where every message
        failed nothing is raised: that would tell SQS no more, and make a function error of each poison
        message that comes alone. The alarms watch the function's own metrics.

    Raises:
        SettingsError: when the environment is incomplete or wrong; every message comes back.
    """
    records = list(SQSEvent(event).records)
    deadline = Deadline.of_invocation(
        context.get_remaining_time_in_millis() / 1000, len(records), int(context.memory_limit_in_mb)
    )
    report = _runner().run(records, deadline)
    _count(report, context)
    failed = dict.fromkeys(record.message_id for record in records if record.message_id in report.failed)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _count(report: Report, context: LambdaContext) -> None:
    metrics.set_default_dimensions(function_name=context.function_name)  # which stack's
    for lag in report.lags:  # Powertools flushes by itself whenever an EMF blob is full
        metrics.add_metric("PublishLag", MetricUnit.Milliseconds, lag)
    counts = Counter(report.outcomes)
    if deferred := counts[Outcome.DEFERRED]:  # an outage may show as either; the alarm looks at one metric
        counts[Outcome.FAILED] += deferred
    for outcome, count in counts.items():
        metrics.add_metric(outcome, MetricUnit.Count, count)
    if report.outcomes:
        metrics.flush_metrics()
    if unexpected := counts[Outcome.UNEXPECTED]:
        # Once more by version, for an alarm that guards deployments; no other: each one costs extra.
        dimensions = {
            "service": SERVICE,
            "function_name": context.function_name,
            "function_version": context.function_version,
        }
        with single_metric(
            Outcome.UNEXPECTED, MetricUnit.Count, unexpected, 60, NAMESPACE, default_dimensions=dimensions
        ):
            pass
