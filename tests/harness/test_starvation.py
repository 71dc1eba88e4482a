"""Whether the kernel's count of waiting is read, and what it excuses."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from conformance.harness.bounds import JITTER
from conformance.harness.history import expect_elapsed
from conformance.harness.judging import Inconclusive, NonConformance
from conformance.harness.starvation import STARVATION, Starvation, waited

BOUND = 10.0
"""Seconds for processes that share one CPU to have waited for each other; it takes 0.1."""

BUSY = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nwhile True: pass"


@contextmanager
def _running(program: str, number: int) -> Iterator[list[int]]:
    """So many processes of a program, which has no end."""
    running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(number)]
    try:
        yield [one.pid for one in running]
    finally:
        for one in running:
            one.kill()
            one.wait()


def test_who_shares_a_cpu_has_waited_for_it() -> None:
    with _running(BUSY, 2) as pids:
        starvation = Starvation()
        for pid in pids:
            starvation.follow(pid)
        end = time.monotonic() + BOUND
        while starvation.seconds() < 0.05 and time.monotonic() < end:
            pass

        assert starvation.seconds() >= 0.05
        starvation.mark()
        assert starvation.seconds() < 0.05
    starvation.mark()
    assert repr(starvation) == "Starvation([], 0.000 s)"


THREADS = """
import hashlib, os, threading
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
def work():
    while True:
        hashlib.sha256(bytes(1 << 20))
for _ in range(4):
    threading.Thread(target=work).start()
"""
"""Threads that share a CPU, and wait for nobody but each other."""


def test_threads_that_wait_for_each_other_waited_longer_together_than_any_of_them() -> None:
    with _running(THREADS, 1) as pids:
        starvation = Starvation()
        starvation.follow(pids[0])
        end = time.monotonic() + BOUND
        while starvation.longest() < 0.2 and time.monotonic() < end:
            pass

        assert starvation.longest() >= 0.2
        assert starvation.seconds() > 2 * starvation.longest()


def test_nobody_waits_who_is_not_there() -> None:
    assert waited(2**22 + 1) == 0.0
    starvation = Starvation()
    starvation.follow(2**22 + 1)
    assert (starvation.seconds(), starvation.longest()) == (0.0, 0.0)


@pytest.mark.parametrize(("starved", "verdict"), [(0.3, Inconclusive), (0.1, NonConformance)])
def test_waiting_excuses_as_much_as_it_lasted(
    monkeypatch: pytest.MonkeyPatch, starved: float, verdict: type[Exception]
) -> None:
    monkeypatch.setattr(STARVATION, "seconds", lambda: starved)

    with pytest.raises(verdict, match="time that it took"):
        expect_elapsed(0.3, since=time.monotonic() - 1, at_most=0.1 - JITTER.seconds)
