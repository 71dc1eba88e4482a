"""The end by SIGTERM, as a job of CI gets it that is cancelled: the same as by Ctrl-C.

Whatever was started is ended, and whatever was made is removed, by those who do so after each
test; the exit status is that of a run that was interrupted. A second SIGTERM changes nothing.
"""

import signal
import threading
from contextlib import suppress
from types import FrameType

import psutil
import pytest


class Ending:
    """What SIGTERM does in this process, as long as it judges. A pytest plugin."""

    def __init__(self, config: pytest.Config) -> None:
        """Take the signal over."""
        self._config = config
        self._begun = False
        self._before = signal.signal(signal.SIGTERM, self._begin)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # As a shell starts what it does not wait for. An event loop listens to SIGINT only
            # where Python would have done so.
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _begin(self, _number: int, _frame: FrameType | None) -> None:
        if self._begun:
            return
        self._begun = True
        if self._config.pluginmanager.has_plugin("dsession"):
            # execnet would interrupt its workers 5 s after this process has let go of them.
            for worker in psutil.Process().children():
                with suppress(psutil.NoSuchProcess):
                    worker.terminate()
        # Where an event loop runs it has a handler of its own for this one: the test is cancelled.
        signal.raise_signal(signal.SIGINT)

    def pytest_keyboard_interrupt(self) -> None:
        """Let nothing disturb the clearing up: execnet interrupts a worker that takes long."""
        if self._begun:
            signal.signal(signal.SIGINT, lambda *_: None)

    def pytest_unconfigure(self) -> None:
        """Give the signal back."""
        signal.signal(signal.SIGTERM, self._before)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Take the signal over: in the process that reports, and in each worker of `-n`."""
    if threading.current_thread() is threading.main_thread():
        config.pluginmanager.register(Ending(config), "conformance-ending")
