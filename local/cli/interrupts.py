"""Ctrl-C and SIGTERM: what they end, and what they have to wait for."""

import signal
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end_on_signals() -> None:
    """Have SIGTERM, as Ctrl-C, raise KeyboardInterrupt: what is in hand is put back."""
    for number in _SIGNALS:
        signal.signal(number, signal.default_int_handler)


class Uninterrupted:
    """Puts Ctrl-C and SIGTERM off until the context ends, for two steps that belong together.

    Its end raises KeyboardInterrupt if one of them came.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Begin to put signals off."""
        self._before = {number: signal.signal(number, self._remember) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Go back to what was before, and raise what was put off.

        Raises:
            KeyboardInterrupt: when a signal came.
        """
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._asked:
            raise KeyboardInterrupt

    def _remember(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (signal's)
        self._asked = True
