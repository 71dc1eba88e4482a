"""The result of a run, from which every report is made."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..implementation import Implementation
from ..known_failures import KnownFailure, Seen, excuse, weigh
from ..requirements import Requirement
from ..verdicts import ExitStatus, Overall, Verdict, exit_status, overall
from .shard import Said, Shard

UNTESTED = Seen(Verdict.UNTESTABLE, "it is claimed, and there was no test of it")
"""What is said of a requirement that a whole run has no test of."""


@dataclass(frozen=True, slots=True)
class Case:
    """What one test said of its requirement."""

    name: str
    verdict: Verdict
    reason: str
    seconds: float
    fingerprint: str = ""
    """Of the failure; empty where it is none."""
    evidence: str = ""
    """Directory of its evidence, below that of the report; empty where none was written."""
    failure: dict[str, Any] | None = None
    """What was done, expected and seen, as report.json has it."""


@dataclass(slots=True)
class Judged:
    """One requirement as seen so far."""

    cases: list[Case] = field(default_factory=list)

    @property
    def tests(self) -> list[Seen]:
        """What each of its tests said, to be weighed."""
        return [Seen(case.verdict, case.reason, case.fingerprint) for case in self.cases]

    @property
    def fingerprints(self) -> list[str]:
        """Of the failures that were seen, each once."""
        return list(dict.fromkeys(one.fingerprint for one in self.cases if one.fingerprint))

    @property
    def seconds(self) -> float:
        """How long its tests took together."""
        return sum(case.seconds for case in self.cases)


@dataclass(slots=True)
class Result:
    """Everything that a report needs."""

    implementation: Implementation
    version: str
    seed: int
    requirements: dict[str, Requirement]
    narrowed: list[str]
    """Options and events by which the run is less than the whole; empty for the whole."""
    strict: bool = False
    preflight: str = ""
    """Why the implementation did not become ready in the preflight; empty where it did."""
    began: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    seconds: float = 0.0
    """How long the run took."""
    stopped: ExitStatus | None = None
    """The exit status where the run did not come to its end."""
    shard: Shard | None = None
    """The part that the run is, where several judge together."""
    merged: list[dict[str, Any]] = field(default_factory=list)
    """The shards that it was merged from, as report.json has them."""
    lacking: Sequence[str] = ()
    """Requirements of which it lacks tests, where not all shards were there."""
    environment: dict[str, Any] | None = None
    """What is told of the host, where it was not this one."""
    judged: dict[str, Judged] = field(default_factory=dict)

    def take(self, test: str, said: Said) -> None:
        """Add what is reported of a test, which `merge` finds in the reports of shards."""
        if self.shard is not None:
            self.shard.said[test] = said
        told = {name: value for name, value in said.items() if name != "requirement"}
        case = {"name": test} | told | {"verdict": Verdict(said["verdict"])}
        self.add(said["requirement"], Case(**case))

    def add(self, name: str, case: Case) -> None:
        """Add what one test said of a requirement."""
        self.judged.setdefault(name, Judged()).cases.append(case)

    @property
    def started(self) -> bool:
        """Whether the implementation became ready in the preflight."""
        return not self.preflight

    def complete(self) -> None:
        """After the last test: in a whole run, do not pass over what is claimed and has none."""
        if self.narrowed:
            return
        for name in self.not_selected:
            if self.implementation.claimed(self.requirements[name]):
                self.judged[name] = Judged()

    @property
    def said(self) -> dict[str, Seen]:
        """Verdict and reason of each requirement that was judged, in the order of the text."""
        known = self.implementation.known_failures
        said = {
            name: weigh(self.judged[name].tests or [UNTESTED], known, name)
            for name in self.requirements
            if name in self.judged
        }
        for name in self.shard.lacking if self.shard else self.lacking:
            if name in said and said[name].verdict is Verdict.STALE_KNOWN_FAILURE:
                # What is known to fail may fail in another shard.
                said[name] = Seen(Verdict.PASS, "")
        return said

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Verdict of each requirement that was judged, in the order of the text."""
        return {name: seen.verdict for name, seen in self.said.items()}

    def excused_by(self, name: str, seen: Seen) -> KnownFailure | None:
        """Return the known failure that excuses what was said of a requirement; None: none does."""
        if seen.verdict is not Verdict.KNOWN_FAILURE:
            return None
        return excuse(self.implementation.known_failures, name, seen.fingerprint)

    def scored(self, name: str) -> bool:
        """Tell whether a requirement counts: it is of the release that is asked for, if one is."""
        return name not in self.implementation.later

    @property
    def score(self) -> dict[str, Verdict]:
        """The verdicts that count."""
        return {name: verdict for name, verdict in self.verdicts.items() if self.scored(name)}

    @property
    def counts(self) -> Counter[Verdict]:
        """How many requirements that count have each verdict."""
        return Counter(self.score.values())

    @property
    def not_selected(self) -> list[str]:
        """Requirements that no test was selected for."""
        return [name for name in self.requirements if name not in self.judged]

    @property
    def overall(self) -> Overall:
        """What is said of the implementation."""
        asked = {name: one for name, one in self.requirements.items() if self.scored(name)}
        return overall(self.score, asked, complete=not self.narrowed, started=self.started)

    @property
    def exit_status(self) -> ExitStatus:
        """Exit status of the run."""
        if self.stopped is not None:
            return self.stopped
        verdicts = list(self.score.values())
        status = exit_status(verdicts, self.overall, strict=self.strict, started=self.started)
        if status is ExitStatus.INCONCLUSIVE and self.shard is not None:
            # Whether any MUST passed is seen once the shards are merged.
            return status if any(verdict.red for verdict in verdicts) else ExitStatus.OK
        return status
