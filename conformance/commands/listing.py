"""The list of known failures in the text of a manifest, rewritten with its comments.

tomlkit keeps the comments above an entry with the one before it. Here they go where they belong:
lines directly above an entry are its own, and go with it; those above an empty line stay, behind
the list. What stands above the first entry is the list's, and is not touched.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tomlkit
from tomlkit.items import AoT, Comment, Table, Whitespace

_KEY = "known_failures"

Entry = Mapping[str, Any]


class Listing:
    """A manifest's text, and its known failures.

    Args:
        text: of the manifest.

    Raises:
        ValueError: it is not TOML, or its list is not one of `[[known_failures]]`.
    """

    def __init__(self, text: str) -> None:
        """Read the text; nothing is changed yet."""
        self._text = text
        self._document = tomlkit.parse(text)
        listed = self._document.get(_KEY)
        if listed and not isinstance(listed, AoT):
            raise ValueError(f"{_KEY} is rewritten only where each entry begins with [[{_KEY}]]")
        self._was: list[Table] = list(listed.body) if isinstance(listed, AoT) else []
        self._tables = list(self._was)
        self._comments: dict[int, str] = {}
        """Lines directly above each table, by its identity."""

    @property
    def name(self) -> str:
        """Name of the implementation."""
        return str(self._document.get("name", ""))

    @property
    def entries(self) -> list[Entry]:
        """The known failures, as they stand now."""
        return list(self._tables)

    def keep(self, wanted: Callable[[Entry], bool]) -> None:
        """Drop the entries that are not wanted."""
        self._tables = [table for table in self._tables if wanted(table)]

    def add(self, entry: Entry, comment: str) -> None:
        """Add an entry, under a line of comment."""
        table = tomlkit.table()
        for name, value in entry.items():
            table.add(name, value)
        self._comments[id(table)] = f"# {comment}\n"
        self._tables.append(table)

    def sort(self, place: Callable[[Entry], int]) -> None:
        """Put the entries in order; those of one requirement stay as they are."""
        self._tables.sort(key=place)

    def text(self) -> str:
        """Return the text as it is to be; where nothing changed, the text as it was."""
        if list(map(id, self._was)) == list(map(id, self._tables)):
            return self._text
        behind = self._part()
        for number, table in enumerate(self._tables):
            space = "\n" if number else ""
            table.trivia.indent = space + self._comments.get(id(table), "")
            if not table.as_string().endswith("\n"):
                table.value.body.append((None, Whitespace("\n")))
        if not self._was:
            return self._appended()
        place = next(n for n, (key, _) in enumerate(self._document.body) if key and key == _KEY)
        if self._tables:
            self._tables[-1].value.body.append((None, Whitespace(behind)))
            listed = self._document[_KEY]
            assert isinstance(listed, AoT), "as it was read"  # noqa: S101
            listed.body[:] = self._tables
        else:
            self._document.body[place] = (None, Whitespace(behind))
        return self._document.as_string()

    def _part(self) -> str:
        """Give each entry its own comments; return what stands behind the last one."""
        above = ""
        for table in self._was:
            stays, self._comments[id(table)] = _divided(above)
            above = stays + _cut(table)
        return above

    def _appended(self) -> str:
        """Return the text with a list behind it that was not there, or was empty."""
        if _KEY in self._document:
            self._document.remove(_KEY)
        before = self._document.as_string()
        new = tomlkit.aot()
        for table in self._tables:
            new.append(table)
        listed = tomlkit.document()
        listed.append(_KEY, new)
        end = "" if before.endswith("\n") else "\n"
        return f"{before}{end}\n{listed.as_string()}"


def _cut(table: Table) -> str:
    """Take the comments and empty lines off a table's end; return them."""
    body, cut = table.value.body, ""
    while body and body[-1][0] is None and isinstance(body[-1][1], Comment | Whitespace):
        cut = body.pop()[1].as_string() + cut
    return cut


def _divided(comments: str) -> tuple[str, str]:
    """Divide lines into those that stand by themselves, and those directly above an entry."""
    lines = comments.splitlines(keepends=True)
    count = len(lines)
    while count and lines[count - 1].strip():
        count -= 1
    stays = "".join(lines[:count])
    return stays if stays.strip() else "", "".join(lines[count:])
