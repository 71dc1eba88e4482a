"""Bring a manifest's list of known failures up to a report's.

Entries that still fail stay as they are, those that pass go, new failures come with fields that a
person has to fill in: until then the manifest is refused. Everything else in it stays as it is.
Without --write the difference is printed, and the exit status is 1 where there is any.
"""

import argparse
import difflib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..harness import requirements
from ..harness.implementation import ManifestError, find
from ..harness.reports.reading import Report, read
from .listing import Listing

NAME = "known-failures"

_FIELDS = ("id", "reason", "link", "expires", "kind")

_DECIDED = frozenset({"PASS", "WARN", "FAIL", "KNOWN_FAILURE", "STALE_KNOWN_FAILURE"})
"""Verdicts of requirements whose every test came to an end."""

_SHOWN = 160
"""Characters of a failure's sentence that stand above its entry."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("report", type=Path, help="report.json, or the directory that holds it")
    parser.add_argument("manifest", help="manifest of what was judged, or its name")
    parser.add_argument("--write", action="store_true", help="rewrite the manifest")
    parser.add_argument(
        "--fingerprints",
        action="store_true",
        help="each new entry excuses one failure by its fingerprint, not all of a requirement",
    )


def run(options: argparse.Namespace) -> int:
    """Print the difference, or make it; return 1 where one was found and not made.

    Raises:
        ReportError: the report cannot be read.
        ManifestError: the manifest cannot be rewritten, or is of another implementation.
    """
    report = read(options.report)
    try:
        file = find(options.manifest)
    except ManifestError as error:
        raise ManifestError(str(error).removeprefix("--impl: ")) from error
    try:
        before = file.read_bytes().decode()
        listing = Listing(before)
    except ValueError as error:
        raise ManifestError(f"{file}: {error}") from error
    if listing.name != report["implementation"]["name"]:
        raise ManifestError(
            f"{file}: is of {listing.name!r}, and the report of"
            f" {report['implementation']['name']!r}"
        )
    new = revise(listing, report, fingerprints=options.fingerprints)
    after = listing.text()
    if after == before:
        print("the list is up to date")
        return 0
    if not options.write:
        sys.stdout.writelines(_difference(file, before, after))
        return 1
    file.write_bytes(after.encode())
    asked = f"; {new} to be filled in: {', '.join(_FIELDS[1:])}" if new else ""
    print(f"{file}: {len(listing.entries)} known failures{asked}")
    return 0


def revise(listing: Listing, report: Report, *, fingerprints: bool = False) -> int:
    """Drop, add and sort entries as a report has it; return how many are new.

    What a report does not decide stays: requirements that were not run to their end, and, where the
    run was narrowed, all that is listed: the test that fails may have been left out.
    """
    judged: Mapping[str, Any] = report["requirements"]
    exact = {entry["id"] for entry in listing.entries if entry.get("fingerprint")}
    if not report.get("narrowed"):
        listing.keep(lambda entry: _still(entry, judged.get(entry.get("id", ""))))
    new = 0
    for name, told in judged.items():
        if told["verdict"] != "FAIL" or not told.get("scored", True):
            continue
        for mark in _unlisted(listing, name, told, exact=fingerprints or name in exact):
            listing.add({"id": name, **dict.fromkeys(_FIELDS[1:], ""), **mark}, _sentence(told))
            new += 1
    order = list(requirements.load())
    order += [name for name in judged if name not in order]
    listing.sort(lambda entry: order.index(entry["id"]) if entry["id"] in order else len(order))
    return new


def _still(entry: Mapping[str, Any], told: Mapping[str, Any] | None) -> bool:
    """Tell whether an entry must stay: its failure was seen, or it is not known whether it was."""
    if told is None or told["verdict"] not in _DECIDED:
        return True
    prints = told.get("fingerprints", [])
    return bool(prints) and entry.get("fingerprint", "") in ("", *prints)


def _unlisted(
    listing: Listing, name: str, told: Mapping[str, Any], *, exact: bool
) -> Iterator[Mapping[str, str]]:
    """Yield what marks each entry that is to be added for a requirement."""
    listed = {one.get("fingerprint", "") for one in listing.entries if one.get("id") == name}
    if "" in listed:
        return
    prints = told.get("fingerprints", [])
    if not exact or not prints:
        yield {}
        return
    yield from ({"fingerprint": one} for one in prints if one not in listed)


def _sentence(told: Mapping[str, Any]) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in told["reason"]).split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]} …"


def _difference(file: Path, before: str, after: str) -> Iterator[str]:
    return difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        fromfile=str(file),
        tofile=f"{file} (by the report)",
    )
