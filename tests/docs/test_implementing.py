"""The chapters on implementing: what they say is printed is printed."""

import re
from pathlib import Path

import pytest

from .quoting import CHAPTERS, Command, Reader, missing, parts, prepare


@pytest.mark.parametrize("page", sorted(CHAPTERS.glob("[0-9]*.md")), ids=lambda page: page.stem)
def test_the_commands_of_a_chapter_print_what_it_says(tmp_path: Path, page: Path) -> None:
    reader = Reader(tmp_path, prepare(tmp_path, page.name))

    for part in parts(page.read_text(encoding="utf-8")):
        if isinstance(part, Command):
            seen = reader.run(part)
            assert missing(part.quoted, seen) == "", "\n".join([f"$ {part.line}", *seen])
        else:
            reader.write(part)


def test_every_link_of_a_chapter_leads_somewhere() -> None:
    for page in CHAPTERS.glob("*.md"):
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page.name}: {link}"
