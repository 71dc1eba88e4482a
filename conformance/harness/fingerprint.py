"""The fingerprint of a failure: the same for the same failure in another run, on another host.

It is made of the failure's sentence without what differs from run to run. What tells one failure
from another stays: names, status codes, versions, and whole numbers below 1000, which are counts,
exit statuses and places in a list.
"""

import hashlib
import re

LENGTH = 12
"""Hexadecimal digits: a requirement has a handful of failures, a manifest a few hundred."""

_MEASURED = re.compile(r"(?:at most|at least) ")
"""How an expectation begins that is a bound: what is seen in its place is measured."""

_VARIES = re.compile(
    r"""
      (?P<time>\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?)
    | (?P<clock>\b\d\d:\d\d:\d\d(?:\.\d+)?)
    | (?P<uuid>\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b)
    | (?P<did>\bdid:[a-z0-9]+:[A-Za-z0-9._%-]+)
    | (?P<bytes>\bb(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))
    | (?P<path>(?<![\w.])(?:/[\w@+-][\w.@+-]*|/\.[\w.@+-]+){2,}/?)
    | (?P<pid>\b(?i:pids?)\b["']?[ =:]+\d+)
    | (?P<address>0x[0-9a-fA-F]+)
    | (?P<hex>\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b)
    | (?P<token>(?<![\w+=-])(?=(?:[A-Za-z+_=-]*\d){3})[A-Za-z0-9+_=-]{20,})
    | (?P<numbers>\b\d+(?:,\ \d+){7,})
    | (?P<version>\b\d+\.\d+\.\d+(?:[-+.][\w.+-]*\w)?)
    | (?P<process>(?<![\w.-])\d+(?=-[a-z]))
    | (?P<number>(?<![\w.])-?\d+\.\d+(?:e[+-]?\d+)?|\b\d+e[+-]?\d+)
    | (?P<quantity>(?<![\w.])\d+(?=\ ?(?:ns|us|µs|ms|s|min|h|B|bytes|KiB|MiB|GiB|kB|MB|%)(?!\w)))
    | (?P<large>(?<![\w.])\d{4,})
    """,
    re.VERBOSE,
)
"""What differs from run to run, by what it is; a version does not, and is kept from the rest."""

_LATE = re.compile(r"(not within [^:]*):.*")
"""What is told of a wait that came to nothing: all that was there in its place follows."""

_STATE = "state:"
"""How the line begins that says how a process ended."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_SHORT_BYTES = re.compile(r"b(['\"])[\w ./:-]{0,16}\1")
_METHOD = re.compile(r"/[\w.]+\.[A-Z]\w*/\w+")


def fingerprint(*, what: str, expected: str, observed: str) -> str:
    """Return the fingerprint of a failure that is told in these three parts."""
    parts = [settled(_told(text)) for text in (what, expected, observed)]
    if _MEASURED.match(expected) or "PID" in what:
        parts[1:] = (_NUMBER.sub("<n>", part) for part in parts[1:])
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:LENGTH]


def _told(text: str) -> str:
    """Return what a text says by itself: its first line, without the evidence that follows."""
    first, *others = text.strip().splitlines() or [""]
    states = (line for line in others if line.startswith(_STATE))
    return " ".join([_LATE.sub(r"\1", first), *states])


def settled(sentence: str) -> str:
    """Return a sentence without what differs from run to run."""
    return _VARIES.sub(_settled, " ".join(sentence.split()))


def _settled(match: re.Match[str]) -> str:
    kind, text = match.lastgroup or "", match[0]
    if kind == "path":
        return text if _METHOD.fullmatch(text) else f"<path>/{_last(text)}"
    if kind == "bytes":
        return text if _SHORT_BYTES.fullmatch(text) else "<bytes>"
    if kind == "version":
        return text
    if kind in ("number", "quantity", "large"):
        return "<n>"
    return f"<{kind}>"


def _last(path: str) -> str:
    """Return the last part of a path, unless that was made for the run."""
    last = path.rstrip("/").rpartition("/")[2]
    return "<name>" if re.fullmatch(r"bh[a-z0-9_]{8}|tmp[a-z0-9_]{8}", last) else settled(last)
