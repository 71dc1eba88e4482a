"""Evidence: what a stranger needs to see a failure, written before anything is cleaned up."""

import datetime as dt
import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .judging import Story
from .printable import visible
from .redaction import redacted, redacted_bytes
from .requirements import Requirement

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")

_LONGEST_NAME = 100
"""Characters of a test's directory at most: parameters can be whole request bodies."""


def clear(report: Path, names: Iterable[str]) -> None:
    """Remove the evidence of an earlier run."""
    for name in names:
        shutil.rmtree(report / name, ignore_errors=True)


def place(report: Path, requirement: Requirement, test: str) -> Path:
    """Return the directory of one test's evidence."""
    name = _UNSAFE.sub("-", redacted(test))
    if len(name) > _LONGEST_NAME:
        # Two tests may differ in what is cut off.
        digest = hashlib.sha256(test.encode(errors="replace")).hexdigest()
        name = f"{name[:_LONGEST_NAME]}-{digest[:8]}"
    return report / requirement.id / name.strip("-")


def write(directory: Path, requirement: Requirement, test: str, story: Story, failure: str) -> None:
    """Write the evidence of one test that did not pass: as it was, but for secrets."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    texts: list[str] = []
    for name, content in story.attachments.items():
        data = content() if callable(content) else content
        if isinstance(data, str):
            data = redacted(data)
            texts.append(data)
            data = data.encode(errors="backslashreplace")
        else:
            data = redacted_bytes(data)
        (directory / _UNSAFE.sub("-", name)).write_bytes(data)
    (directory / "timeline.txt").write_text(
        "\n".join(timeline(story.steps, texts)) + "\n", encoding="utf-8"
    )
    (directory / "story.md").write_text(_story(requirement, test, failure), encoding="utf-8")


def timeline(steps: Sequence[tuple[float, str]], logs: Iterable[str]) -> list[str]:
    """Merge what the suite did with what the implementation logged, by wall-clock time."""
    events = [(moment, f"suite  {redacted(step)}") for moment, step in steps]
    events += [event for log in logs for event in _logged(log)]
    return [
        f"{dt.datetime.fromtimestamp(moment, dt.UTC):%H:%M:%S.%f}  {visible(text)}"
        for moment, text in sorted(events)
    ]


def _logged(log: str) -> Iterator[tuple[float, str]]:
    for line in log.splitlines():
        try:
            record = json.loads(line)
            moment = dt.datetime.fromisoformat(record["time"]).timestamp()
        except (ValueError, TypeError, KeyError):
            continue
        if "peer" in record:
            yield moment, f"peer   {record['peer']}: {record.get('message')}"
        else:
            yield moment, f"log    {line}"


def _story(requirement: Requirement, test: str, failure: str) -> str:
    steps = "\n".join(f"{n}. {step}" for n, step in enumerate(requirement.procedure, start=1))
    asserts = "\n".join(f"- {text}" for text in requirement.asserts)
    return (
        f"# {requirement.id}: {requirement.title}\n\n"
        f"{requirement.level} · {requirement.basis} · {requirement.source}"
        f" · {requirement.anchor}\n\n"
        f"{requirement.purpose}\n\n"
        f"Preconditions: {requirement.preconditions}\n\n"
        f"## Procedure\n\n{steps}\n\n"
        f"## Asserts\n\n{asserts}\n\n"
        f"## {test}\n\n```\n{failure}\n```\n"
    )
