"""The verdict lattice: pure decisions, as CONFORMANCE.md, "How a verdict is made", has them."""

from collections.abc import Collection, Iterable, Mapping
from enum import IntEnum, StrEnum

from .requirements import Level, Requirement


class Verdict(StrEnum):
    """What is said of one requirement, from best to worst."""

    PASS = "PASS"  # noqa: S105 - no password
    WARN = "WARN"
    NOT_CLAIMED = "NOT_CLAIMED"
    NOT_RUN = "NOT_RUN"
    KNOWN_FAILURE = "KNOWN_FAILURE"
    INCONCLUSIVE = "INCONCLUSIVE"
    STALE_KNOWN_FAILURE = "STALE_KNOWN_FAILURE"
    UNTESTABLE = "UNTESTABLE"
    FAIL = "FAIL"
    HARNESS_ERROR = "HARNESS_ERROR"

    @property
    def rank(self) -> int:
        """How bad it is: the worst wins."""
        return list(Verdict).index(self)

    @property
    def red(self) -> bool:
        """Whether it keeps an implementation from being conformant."""
        return self.rank >= Verdict.INCONCLUSIVE.rank


class Overall(StrEnum):
    """What is said of an implementation."""

    CONFORMANT = "conformant"
    PARTIAL = "partial"
    NON_CONFORMANT = "non-conformant"
    UNKNOWN = "unknown"


class ExitStatus(IntEnum):
    """Exit statuses of a run; those of pytest itself are named where it sets them."""

    OK = 0
    NON_CONFORMANT = 1
    INTERRUPTED = 2
    INTERNAL_ERROR = 3
    WRONG_USE = 4
    NO_TESTS = 5
    HARNESS_ERROR = 6
    INCONCLUSIVE = 7
    NOT_STARTED = 8
    NOT_RUN = 9

    @property
    def meaning(self) -> str:
        """What it says, as CONFORMANCE.md has it."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitStatus.OK: "conformant, or partial with nothing red",
    ExitStatus.NON_CONFORMANT: "non-conformant",
    ExitStatus.INTERRUPTED: "interrupted",
    ExitStatus.INTERNAL_ERROR: "an internal error of pytest",
    ExitStatus.WRONG_USE: "wrong use",
    ExitStatus.NO_TESTS: "no tests selected",
    ExitStatus.HARNESS_ERROR: "the suite itself broke",
    ExitStatus.INCONCLUSIVE: "inconclusive: the host stalled, or no MUST passed",
    ExitStatus.NOT_STARTED: "the implementation did not become ready; nothing was judged",
    ExitStatus.NOT_RUN: "something was not run, under --strict",
}

_NON_CONFORMANT = frozenset({Verdict.FAIL, Verdict.UNTESTABLE, Verdict.STALE_KNOWN_FAILURE})
_UNKNOWN = frozenset({Verdict.HARNESS_ERROR, Verdict.INCONCLUSIVE})
_PARTIAL = frozenset({Verdict.NOT_CLAIMED, Verdict.NOT_RUN, Verdict.KNOWN_FAILURE})


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of some verdicts; there must be one."""
    return max(verdicts, key=lambda verdict: verdict.rank)


def of_test(verdict: Verdict, level: Level) -> Verdict:
    """Return what a test's verdict is for a requirement of that level: a SHOULD only warns."""
    return Verdict.WARN if (verdict, level) == (Verdict.FAIL, Level.SHOULD) else verdict


def overall(
    verdicts: Mapping[str, Verdict],
    requirements: Mapping[str, Requirement],
    *,
    complete: bool,
    started: bool = True,
) -> Overall:
    """Return what is said of the implementation.

    Args:
        verdicts: of each requirement that was judged.
        requirements: all there are.
        complete: whether every test of every requirement was selected.
        started: whether the implementation became ready at all.
    """
    seen = set(verdicts.values())
    must_passed = any(
        verdict is Verdict.PASS and requirements[name].level is Level.MUST
        for name, verdict in verdicts.items()
    )
    if not started:
        return Overall.UNKNOWN
    if seen & _NON_CONFORMANT:
        return Overall.NON_CONFORMANT
    if seen & _UNKNOWN or not must_passed:
        return Overall.UNKNOWN
    if seen & _PARTIAL or not complete or set(verdicts) != set(requirements):
        return Overall.PARTIAL
    return Overall.CONFORMANT


def exit_status(
    verdicts: Collection[Verdict], result: Overall, *, strict: bool, started: bool = True
) -> ExitStatus:
    """Return the exit status of a run that came to its end."""
    if not started:
        return ExitStatus.NOT_STARTED
    if Verdict.HARNESS_ERROR in verdicts:
        return ExitStatus.HARNESS_ERROR
    if result is Overall.NON_CONFORMANT:
        return ExitStatus.NON_CONFORMANT
    if result is Overall.UNKNOWN:
        return ExitStatus.INCONCLUSIVE
    if strict and Verdict.NOT_RUN in verdicts:
        return ExitStatus.NOT_RUN
    return ExitStatus.OK
