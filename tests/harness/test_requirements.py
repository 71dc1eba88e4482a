"""Requirement records: read whole, and refused with every finding when they break their form."""

from pathlib import Path

import pytest

from conformance.harness.requirements import Basis, Level, SpecificationError, load

RECORD = """
### ABC-1: Something is true

- **Level** MUST · **Basis** prose · **Profile** service · **Seen by** service, proc
- **Source** Somewhere
- **Purpose** To know.
- **Preconditions** None.
- **Procedure**
  1. Look.
  2. Look again,
     and again.
- **Asserts**
  - It is true.
- **Why** Because.
"""


def _load(tmp_path: Path, text: str) -> object:
    file = tmp_path / "SPEC.md"
    file.write_text(text)
    return load(file)


def test_a_record_is_read_whole(tmp_path: Path) -> None:
    (record,) = _load(tmp_path, "# Title\n\ntext\n" + RECORD).values()  # type: ignore[attr-defined]

    assert (record.id, record.title) == ("ABC-1", "Something is true")
    assert (record.level, record.basis) == (Level.MUST, Basis.PROSE)
    assert record.seen_by == ("service", "proc")
    assert record.procedure == ("Look.", "Look again, and again.")
    assert record.asserts == ("It is true.",)
    assert record.differs == ""
    assert record.line == 5
    assert (record.anchor, record.expression) == ("CONFORMANCE.md#abc-1", "ABC_1_")


@pytest.mark.parametrize("text", ["remote, client", "security, client"])
def test_a_record_may_be_of_two_profiles(tmp_path: Path, text: str) -> None:
    record = RECORD.replace("Profile** service", f"Profile** {text}")

    (found,) = _load(tmp_path, record).values()  # type: ignore[attr-defined]

    assert found.profiles == tuple(text.split(", "))


BROKEN = {
    "no ID": (RECORD.replace("ABC-1: ", ""), "is not 'ID: title'"),
    "missing": (RECORD.replace("- **Why** Because.\n", ""), "Why is missing or empty"),
    "empty": (RECORD.replace("Because.", ""), "Why is missing or empty"),
    "doubled": (RECORD + "- **Why** Because.\n", "Why stands twice"),
    "unknown label": (RECORD + "- **Where** Here.\n", "unknown label 'Where'"),
    "no label": (RECORD + "- just text\n", "does not begin with a label"),
    "unknown level": (RECORD.replace("MUST", "SHALL"), "SHALL"),
    "unknown basis": (RECORD.replace("prose", "guess"), "guess"),
    "unknown profile": (RECORD.replace("Profile** service", "Profile** x"), "unknown profile x"),
    "second profile": (
        RECORD.replace("Profile** service", "Profile** service, x"),
        "unknown profile x",
    ),
    "unknown vantage": (RECORD.replace("service, proc", "moon"), "unknown vantage point moon"),
    "no list": (RECORD.replace("\n  - It is true.", " It is true."), "Asserts is not a list"),
    "list and text": (RECORD.replace("**Asserts**", "**Asserts** all"), "text and a list"),
    "twice": (RECORD + RECORD, "ABC-1 stands twice"),
    "no record": ("### ABC-1: Something\n\ntext\n", "no record follows"),
    "nothing": ("# Title\n", "holds no requirement"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_record_is_refused_by_what_is_wrong(tmp_path: Path, case: str) -> None:
    text, finding = BROKEN[case]

    with pytest.raises(SpecificationError, match=f"SPEC.md.*{finding}"):
        _load(tmp_path, text)


def test_every_finding_is_told_at_once(tmp_path: Path) -> None:
    text = RECORD.replace("MUST", "SHALL") + RECORD.replace("ABC-1", "ABC-2").replace("Why", "Who")

    with pytest.raises(SpecificationError) as error:
        _load(tmp_path, text)

    assert [line.partition(" ")[0] for line in str(error.value).splitlines()] == [
        "SPEC.md:2:",
        "SPEC.md:16:",
    ]


def test_our_own_text_keeps_its_form() -> None:
    assert len(load()) >= 48
