"""What is said of many messages, put together."""

from handler.outcomes import Outcome, Report, RetryLater


def test_a_report_takes_over_all_that_another_says_and_keeps_its_own() -> None:
    refused, down = ValueError("no"), RetryLater("down")
    report = Report({"a": refused}, [Outcome.CATALOG_FAILED], [1])
    report.add(Report({"b": down}, [Outcome.CATALOG_CLAIMED, Outcome.CATALOG_FAILED], [2, 3]))
    assert report.failed == {"a": refused, "b": down}
    assert report.outcomes == [Outcome.CATALOG_FAILED, Outcome.CATALOG_CLAIMED, Outcome.CATALOG_FAILED]
    assert report.lags == [1, 2, 3]


def test_who_is_not_told_how_long_to_wait_need_not_wait() -> None:
    assert RetryLater("down").retry_after == 0
