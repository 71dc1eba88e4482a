"""The requirement records, parsed from CONFORMANCE.md and held to their form.

A record is a heading `### ID: title` and a list of labelled items. Whatever is
missing, doubled, unknown or empty is an error that names the line.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from .places import SPECIFICATION


class Level(StrEnum):
    """How binding a requirement is (RFC 2119)."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"


class Basis(StrEnum):
    """Where a requirement comes from."""

    PROSE = "prose"
    LISTING = "listing"
    INFERRED = "inferred"


PROFILES = frozenset(
    {"service", "client", "remote", "security", "orchestrator", "observability", "platform"}
)
"""What a requirement can belong to."""

VANTAGES = frozenset({"service", "client", "node", "wire", "proc", "sink"})
"""From where a requirement is seen."""

_HEADING = re.compile(r"(?P<id>[A-Z]+-[1-9]\d*): (?P<title>\S.*)")
_LABEL = re.compile(r"\*\*(?P<label>[A-Z][a-z]+(?: [a-z]+)?)\*\* ?")
_FIRST = ("Level", "Basis", "Profile", "Seen by")
_TEXTS = ("Source", "Purpose", "Preconditions", "Procedure", "Asserts", "Why")
_OPTIONAL = ("Differs",)


class SpecificationError(ValueError):
    """CONFORMANCE.md breaks its own form; holds every finding with its line."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement record."""

    id: str
    title: str
    level: Level
    basis: Basis
    profiles: tuple[str, ...]
    """Profiles that it belongs to: it is judged where all of them are claimed."""
    seen_by: tuple[str, ...]
    source: str
    purpose: str
    preconditions: str
    procedure: tuple[str, ...]
    asserts: tuple[str, ...]
    why: str
    differs: str
    line: int
    chapter: str = ""
    """Heading under which it stands, with its number."""

    @property
    def anchor(self) -> str:
        """Where a reader finds it."""
        return f"CONFORMANCE.md#{self.id.lower()}"

    @property
    def expression(self) -> str:
        """What selects exactly its tests: `-k SOCK_2_`."""
        return self.id.replace("-", "_") + "_"


def load(path: Path = SPECIFICATION) -> dict[str, Requirement]:
    """Return every record by ID, in the order of the text.

    Raises:
        SpecificationError: a record breaks the form.
    """
    tree = SyntaxTreeNode(MarkdownIt().parse(path.read_text(encoding="utf-8")))
    found: dict[str, Requirement] = {}
    problems: list[str] = []
    for chapter, heading, records in _sections(tree):
        line = (heading.map or (0, 0))[0] + 1
        try:
            requirement = _requirement(_inline(heading), records, line, chapter)
            if requirement.id in found:
                raise ValueError(f"{requirement.id} stands twice")  # noqa: TRY301
            found[requirement.id] = requirement
        except ValueError as problem:
            problems.append(f"{path.name}:{line}: {problem}")
    if not found and not problems:
        problems.append(f"{path.name}: holds no requirement")
    if problems:
        raise SpecificationError("\n".join(problems))
    return found


def _sections(
    tree: SyntaxTreeNode,
) -> Iterator[tuple[str, SyntaxTreeNode, SyntaxTreeNode | None]]:
    """Yield each third-level heading with its chapter, and the list that follows it directly."""
    children = tree.children
    chapter = ""
    for node, following in zip(children, [*children[1:], None], strict=True):
        if node.type == "heading" and node.tag == "h2":
            chapter = _inline(node)
        if node.type == "heading" and node.tag == "h3":
            listed = following is not None and following.type == "bullet_list"
            yield chapter, node, following if listed else None


def _requirement(
    heading: str, records: SyntaxTreeNode | None, line: int, chapter: str
) -> Requirement:
    if (match := _HEADING.fullmatch(heading)) is None:
        raise ValueError(f"{heading!r} is not 'ID: title'")
    if records is None:
        raise ValueError(f"{match['id']}: no record follows the heading")
    first, *others = records.children
    values: dict[str, Any] = dict(_first_item(_inline(first)))
    for item in others:
        label, value = _item(item)
        if label in values:
            raise ValueError(f"{match['id']}: {label} stands twice")
        values[label] = value
    _check(match["id"], values)
    return Requirement(
        id=match["id"],
        title=match["title"],
        level=Level(values["Level"]),
        basis=Basis(values["Basis"]),
        profiles=tuple(values["Profile"].split(", ")),
        seen_by=tuple(values["Seen by"].split(", ")),
        source=values["Source"],
        purpose=values["Purpose"],
        preconditions=values["Preconditions"],
        procedure=values["Procedure"],
        asserts=values["Asserts"],
        why=values["Why"],
        differs=values.get("Differs", ""),
        line=line,
        chapter=chapter,
    )


def _check(name: str, values: Mapping[str, Any]) -> None:
    for label in (*_FIRST, *_TEXTS):
        if not values.get(label):
            raise ValueError(f"{name}: {label} is missing or empty")
    for label in values:
        if label not in (*_FIRST, *_TEXTS, *_OPTIONAL):
            raise ValueError(f"{name}: unknown label {label!r}")
    for label in ("Procedure", "Asserts"):
        if not isinstance(values[label], tuple):
            raise ValueError(f"{name}: {label} is not a list")  # noqa: TRY004 - all are findings
    if unknown := set(values["Profile"].split(", ")) - PROFILES:
        raise ValueError(f"{name}: unknown profile {', '.join(sorted(unknown))}")
    if unknown := set(values["Seen by"].split(", ")) - VANTAGES:
        raise ValueError(f"{name}: unknown vantage point {', '.join(sorted(unknown))}")


def _first_item(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(" · "):
        yield _labelled(part)


def _item(item: SyntaxTreeNode) -> tuple[str, str | tuple[str, ...]]:
    label, text = _labelled(_inline(item))
    steps = tuple(
        _inline(step)
        for child in item.children
        if child.type in ("ordered_list", "bullet_list")
        for step in child.children
    )
    if steps and text:
        raise ValueError(f"{label}: text and a list")
    return label, steps or text


def _labelled(text: str) -> tuple[str, str]:
    if (match := _LABEL.match(text)) is None:
        raise ValueError(f"{text[:40]!r} does not begin with a label in bold")
    return match["label"], text[match.end() :].strip()


def _inline(node: SyntaxTreeNode) -> str:
    """Return the text of a node's first paragraph, as it was written."""
    for inner in node.walk():
        if inner.type == "inline":
            return " ".join(inner.content.split())
    return ""
