"""Results made by hand, and what a page holds."""

import datetime as dt
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from conformance.harness import requirements
from conformance.harness.implementation import Implementation
from conformance.harness.known_failures import KnownFailure
from conformance.harness.reports.result import Case, Result
from conformance.harness.verdicts import Verdict

LAW = requirements.load()

FIRST = list(LAW)[:12]
"""The requirements that results here are about; all of the first two chapters."""

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x1b[31m\u202egnp\ud800`|`"
"""Text that would do something wherever it is not only shown."""


def result(
    *,
    hostile: bool = False,
    known: Sequence[KnownFailure] = (),
    verdicts: Sequence[Verdict] = tuple(Verdict),
    narrowed: Sequence[str] = (),
) -> Result:
    """Return a result with a requirement of each of some verdicts; others were not selected."""
    text = HOSTILE if hostile else "a reason"
    made = Result(
        implementation=Implementation(
            name="mine",
            language="Go",
            command=(),
            cwd=Path(),
            claims=("service",),
            known_failures=tuple(known),
        ),
        version=f"1.2 {text}",
        seed=5,
        requirements={name: LAW[name] for name in FIRST},
        narrowed=list(narrowed),
        began=dt.datetime(2026, 11, 20, 8, 0, tzinfo=dt.UTC),
        seconds=61.5,
    )
    for name, verdict in zip(FIRST, verdicts, strict=False):
        made.add(name, case(name, verdict, text))
    return made


def case(name: str, verdict: Verdict, text: str) -> Case:
    """Return a test that came to a verdict."""
    if verdict is Verdict.PASS:
        return Case(f"test_x.py::test_{name}", verdict, "", 0.25)
    failure: dict[str, Any] = {
        "did": [f"did {text}"],
        "looked_at": f"looked at {text}",
        "expected": f"expected {text}",
        "observed": f"observed {text}",
        "again": f"pytest -k {name}",
    }
    red = verdict.red
    return Case(
        f"test_x.py::test_{name}",
        verdict,
        text,
        1.5,
        evidence=f"{name}/test_x" if red else "",
        failure=failure if red else None,
    )


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        """Read it."""
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def ids(self) -> list[str]:
        """What links within the page lead to."""
        return [str(attributes["id"]) for _, attributes in self.tags if "id" in attributes]
