"""The Lambda function: wiring, and the handler."""

import functools
import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit, single_metric
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.data_classes import SQSEvent
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config
from botocore.session import Session

from handler.aws_clients import AwsClients
from handler.batch import POSTPONING, Batch
from handler.circuit_breaker import CircuitBreaker
from handler.log import make_logger, set_debug
from handler.outcomes import Outcome, Report
from handler.publisher import Publisher
from handler.settings import Settings, read_settings
from handler.status_queue import StatusQueue
from handler.status_store import StatusStore
from handler.tokens import SecretToken, Token

if TYPE_CHECKING:
    from handler.catalog import Catalog, MockCatalog

WORKERS = 32  # jobs at once; each has at most one request under way
ANSWERING = 0.5  # seconds kept back to log, count and answer, beside what postponing may take

SERVICE = "oam-status-publisher"
NAMESPACE = "OpenAerialMap"

logger = make_logger(SERVICE)
metrics = Metrics(namespace=NAMESPACE, service=SERVICE)


def wire(settings: Settings) -> Batch:
    """Put the parts together."""
    # Without boto3: its resources and transfers, used by nothing here, take a twentieth of a cold start.
    session = Session()
    # Away from AWS a bucket has no host name of its own.
    style: Literal["path", "auto"] = "path" if settings.endpoint_url else "auto"
    s3 = _clients(
        session,
        "s3",
        settings,
        Config(max_pool_connections=WORKERS, s3={"addressing_style": style}),
    )
    publisher = Publisher(
        store=StatusStore(s3, settings.bucket, settings.prefix),
        make_catalog=functools.cache(functools.partial(_catalog, settings, session)),
        breaker=CircuitBreaker(time.monotonic),
        tiles_base=settings.tiles_base,
        clock=lambda: time.time_ns() // 1_000_000,
        logger=logger,
    )
    return Batch(publisher, _queue(settings, session), WORKERS, logger)


def _clients(
    session: Session,
    service: str,
    settings: Settings,
    config: Config | None = None,
) -> AwsClients[Any]:
    return AwsClients(
        lambda patience: session.create_client(
            service,
            region_name=settings.region,
            config=patience.merge(config) if config else patience,
        )
    )


def _catalog(settings: Settings, session: Session) -> "Catalog | MockCatalog":
    # Late: requests is a tenth of a cold start, and most batches finish no job.
    from handler.catalog import Catalog, MockCatalog  # noqa: PLC0415

    if settings.mock_catalog:
        return MockCatalog(logger)
    return Catalog(settings.catalog_url, _token(settings, session), WORKERS)


def _queue(settings: Settings, session: Session) -> StatusQueue | None:
    if settings.queue_url is None:
        return None
    return StatusQueue(_clients(session, "sqs", settings), settings.queue_url, logger)


def _token(settings: Settings, session: Session) -> Token:
    if settings.token or settings.token_secret is None:
        return lambda *_: settings.token
    secrets_manager = _clients(session, "secretsmanager", settings)
    return SecretToken(settings.token_secret, secrets_manager, time.monotonic, logger)


@functools.cache
def _batch() -> Batch:
    """Wire the parts at the first invocation; SettingsError, not cached, at every one until it is mended."""
    settings = read_settings(os.environ)
    set_debug(logger, debug=settings.debug)
    return wire(settings)


# Not the event, whatever POWERTOOLS_LOGGER_LOG_EVENT says: it is the whole batch.
@logger.inject_lambda_context(log_event=False)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Publish a batch of the tiler's messages.

    Args:
        event: an SQS event (https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html).
        context: tells the time left.

    Returns:
        The messages that failed, so that SQS retries those alone
        (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html).

    Raises:
        SettingsError: when the environment is incomplete or wrong; every message comes back.
    """
    report = _batch().process(
        SQSEvent(event).records,
        lambda: context.get_remaining_time_in_millis() / 1000 - ANSWERING - POSTPONING,
    )
    _count(report, context)

    def outcome_of(record: SQSRecord) -> None:
        if record.message_id in report.failed:
            raise report.failed[record.message_id]

    # Not raised where every message failed: that tells SQS nothing more, and makes a function error of each
    # poison message that comes alone. The alarms watch our own metrics.
    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    with processor(event["Records"], outcome_of):
        processor.process()
    return dict(processor.response())


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
            Outcome.UNEXPECTED,
            MetricUnit.Count,
            unexpected,
            namespace=NAMESPACE,
            default_dimensions=dimensions,
        ):
            pass
