"""The log: lines leave in the background, and nobody waits for them."""

import fcntl
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from reference.mesh.telemetry.lines import CAPACITY, LineWriter, Stamp, made


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_lines_arrive_whole_and_in_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    log = LineWriter(writer)

    for number in range(100):
        log.info(f"line {number}")
    log.flush(5)

    assert os.read(reader, 1 << 16).decode().splitlines() == [f"line {n}" for n in range(100)]


def test_a_full_pipe_stops_nobody_and_the_loss_is_told(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    size = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
    log = LineWriter(writer)
    log.info("x" * size)
    # Until the writer stands in front of the full pipe: before that it takes what else waits.
    select.select([reader], [], [])

    before = time.monotonic()
    for number in range(CAPACITY + 50):
        log.info(f"line {number}")
    elapsed = time.monotonic() - before
    log.flush(0.01)
    assert "dropped=" in repr(log)
    os.set_blocking(reader, False)
    content = b""
    # Until the writer is done with the pipe: its number will be another file's.
    while b"were dropped" not in content or log.waits:
        with suppress(BlockingIOError):
            content += os.read(reader, 1 << 16)

    assert elapsed < 1
    told = next(line for line in content.decode().splitlines() if "dropped" in line)
    assert {"level": "warning", "service": ""}.items() <= json.loads(told).items()
    assert "time" in json.loads(told)


def test_a_closed_pipe_is_nobodys_trouble(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    log = LineWriter(writer)

    log.error("nobody reads this")
    log.flush(5)

    assert repr(log) == "LineWriter(waiting=0, dropped=0)"


def test_closed_standard_streams_are_claimed() -> None:
    script = (
        "import os; os.close(0); os.close(1); os.close(2)\n"
        "from reference.mesh.telemetry import logging\n"
        "logging.claim_standard_streams()\n"
        "opened = os.open('/etc/hostname', os.O_RDONLY)\n"
        "raise SystemExit(opened)"
    )

    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=30)

    assert done.returncode >= 3


def test_what_waits_leaves_together(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    log = LineWriter(writer)
    log.info("x" * fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ))
    select.select([reader], [], [])
    for number in range(3):
        log.info(f"line {number}")

    os.read(reader, fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ))
    os.read(reader, 1)
    log.flush(5)

    assert os.read(reader, 1 << 16) == b"line 0\nline 1\nline 2\n"


def test_renderers_for_people_are_not_imported() -> None:
    script = "import reference.mesh.telemetry.logging, sys; print('rich' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    import rich  # noqa: PLC0415 - there is one to be imported

    assert (done.stdout, bool(rich)) == ("False\n", True)


def test_what_libraries_log_is_json_too() -> None:
    script = (
        "import logging as stdlib\n"
        "from reference.mesh.telemetry import logging\n"
        "logging.configure(service='s', level='info')\n"
        "stdlib.getLogger('a.library').warning('odd: %s', 'x\\ny')\n"
        "try:\n"
        "    raise ValueError('broken')\n"
        "except ValueError:\n"
        "    stdlib.getLogger('another').exception('it broke')\n"
        "stdlib.getLogger('another').info('by the way')\n"
        "logging.flush()"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )

    first, second = [json.loads(line) for line in done.stderr.splitlines()]
    assert (first["level"], first["message"]) == ("warning", "odd: x\ny")
    assert (first["logger"], first["service"]) == ("a.library", "s")
    assert (second["level"], second["message"]) == ("error", "it broke")
    assert second["exception"] == "ValueError('broken')"


def test_a_line_that_cannot_be_made_is_told_in_its_place() -> None:
    told = json.loads(made("info", "call", "s", {"odd": object()}))

    assert (told["message"], told["level"], told["service"]) == (
        "a line could not be made",
        "error",
        "s",
    )
    assert {"time", "error"} <= told.keys()


def test_half_a_character_and_what_is_no_ascii_are_escaped() -> None:
    line = made("info", "call", "s", {"half": "\ud800", "whole": "\u2028ä"})

    assert line.isascii()
    assert line.count(b"\n") == 1
    assert {"half": "\ud800", "whole": "\u2028ä"}.items() <= json.loads(line).items()


def test_half_a_character_of_a_line_that_is_given_whole(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    log = LineWriter(writer)

    log.info("\ud800")
    log.info("next")
    log.flush(5)

    assert os.read(reader, 1 << 16) == b"?\nnext\n"


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_700_000_000_000_001_999, "2023-11-14T22:13:20.000001Z"),
        (1_700_000_000_999_999_999, "2023-11-14T22:13:20.999999Z"),
        (1_700_000_001_000_000_000, "2023-11-14T22:13:21.000000Z"),
    ],
)
def test_a_stamp_is_the_time_to_the_microsecond(nanoseconds: int, text: str) -> None:
    stamp = Stamp()
    stamp.at(1_700_000_000_500_000_000)

    assert stamp.at(nanoseconds) == text


def test_the_least_level_is_that_of_libraries_too() -> None:
    script = (
        "import logging as stdlib\n"
        "from reference.mesh.telemetry import logging\n"
        "logging.configure(service='s', level='error')\n"
        "stdlib.getLogger('a').warning('not said')\n"
        "stdlib.getLogger('a').error('said')\n"
        "logging.flush()"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )

    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["said"]
