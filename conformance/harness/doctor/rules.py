"""The rules that a step can find broken, quoted from CONFORMANCE.md."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..places import SPECIFICATION

_SENTENCE = re.compile(r"[.!](?=\s+[A-Z`*]|$)")
_MARKUP = re.compile(r"\*\*|\[(?P<text>[^]]*)\]\([^)]*\)")


@dataclass(frozen=True, slots=True)
class Rule:
    """One sentence of the normative text, named by how it begins."""

    begins: str
    """First words of the sentence, as they stand in the text."""
    anchor: str = "launch-contract"

    @property
    def place(self) -> str:
        """Where a reader finds it."""
        return f"{SPECIFICATION.name}#{self.anchor}"

    @property
    def text(self) -> str:
        """The sentence as it stands in the text, without markup.

        Raises:
            LookupError: the text has no such sentence any more.
        """
        for line in _lines(SPECIFICATION):
            if (start := line.find(self.begins)) < 0:
                continue
            if line.startswith("|"):
                return _plain(": ".join(cell.strip() for cell in line.strip("| ").split("|")))
            end = _SENTENCE.search(line, start + len(self.begins))
            return _plain(line[start : end.end() if end else None])
        raise LookupError(f"{SPECIFICATION}: no sentence begins with {self.begins!r}")


FOREGROUND = Rule("| `service NAME --config FILE")
DRIVER_ROLE = Rule("| `driver --config FILE")
ORCHESTRATOR_ROLE = Rule("| `orchestrator --config FILE")
UNKNOWN_FIELD = Rule("An unknown field is an error")
READY = Rule("**Ready** means")
IN_TIME = Rule("The suite waits 10 s for readiness")
SOCKET = Rule("`services.NAME.unix_socket` if set, else")
HTTP2 = Rule("A Unix stream socket that speaks gRPC")
PORT = Rule("Where `services.NAME.tcp` is set the service listens")
TOKENS = Rule("Where `auth` is set every call of every method needs a token")
DRIVER_SOCKET = Rule("The socket of the `driver` is")
DRIVER_CALL = Rule("| `Call` | makes one call")
ORCHESTRATOR_SOCKET = Rule("Its socket is `<socket_dir>/orchestrator.sock`")
RUNNING = Rule("It runs once its dependencies are RUNNING")
STOPS_ALL = Rule("SIGTERM stops each service after those that depend on it")
LOG = Rule("Standard error is the log")
START_ERROR = Rule("A process that cannot start exits with a status other than 0")
STOP = Rule("**Stop** is SIGTERM")
USED = Rule("**Still serves**", anchor="how-a-verdict-is-made")
METRICS = Rule("A process for which `telemetry.metrics_addresses` has", anchor="23-metrics")


@cache
def _lines(specification: Path) -> tuple[str, ...]:
    return tuple(specification.read_text(encoding="utf-8").splitlines())


def _plain(text: str) -> str:
    return _MARKUP.sub(lambda found: found["text"] or "", text)
