"""The result of a run, from which every report is made."""

from collections import Counter
from dataclasses import dataclass, field

from ..implementation import Implementation
from ..requirements import Requirement
from ..verdicts import ExitStatus, Overall, Verdict, exit_status, of_requirement, overall, worst


@dataclass(slots=True)
class Judged:
    """One requirement as seen so far."""

    verdicts: list[Verdict] = field(default_factory=list)
    """Of each of its tests."""
    reasons: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def reason(self) -> str:
        """Reason of the worst verdict; of several the first."""
        return self.reasons[self.verdicts.index(worst(self.verdicts))]


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
    started: bool = True
    judged: dict[str, Judged] = field(default_factory=dict)

    def add(self, name: str, verdict: Verdict, reason: str, seconds: float) -> None:
        """Add what one test said of a requirement."""
        judged = self.judged.setdefault(name, Judged())
        judged.verdicts.append(verdict)
        judged.reasons.append(reason)
        judged.seconds += seconds

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Verdict of each requirement that was judged, in the order of the text."""
        known = {failure.id for failure in self.implementation.known_failures}
        return {
            name: of_requirement(self.judged[name].verdicts, known=name in known)
            for name in self.requirements
            if name in self.judged
        }

    @property
    def counts(self) -> Counter[Verdict]:
        """How many requirements have each verdict."""
        return Counter(self.verdicts.values())

    @property
    def not_selected(self) -> list[str]:
        """Requirements that no test was selected for."""
        return [name for name in self.requirements if name not in self.judged]

    @property
    def overall(self) -> Overall:
        """What is said of the implementation."""
        return overall(
            self.verdicts, self.requirements, complete=not self.narrowed, started=self.started
        )

    @property
    def exit_status(self) -> ExitStatus:
        """Exit status of the run."""
        return exit_status(
            list(self.verdicts.values()), self.overall, strict=self.strict, started=self.started
        )
