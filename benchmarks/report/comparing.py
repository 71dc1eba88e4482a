"""Two or more runs side by side: what is seen to differ, and what cannot be told."""

import string
from collections.abc import Iterable, Sequence

from benchmarks.arms import BARE, RAW
from benchmarks.series import Interval

from .runs import AGAIN, BadInputError, Measurement, Run
from .tables import NONE, Row, Table, doubt, duration, number, text

LETTERS = string.ascii_uppercase
"""By which a table names runs."""

OVERLAP = "no difference seen"

ALONE = "medians only, of different moments"
"""What is said of an arm that was compared with none: others are compared with it, if any."""

CONTROL = "A/A"


def lettered(runs: Sequence[Run]) -> dict[str, Run]:
    """Return runs by letter.

    Raises:
        BadInputError: there are more of them than letters.
    """
    if len(runs) > len(LETTERS):
        raise BadInputError(
            f"{runs[len(LETTERS)].path} is one too many: {len(LETTERS)} runs can be compared"
        )
    return dict(zip(LETTERS, runs, strict=False))


def one_machine(runs: Sequence[Run]) -> bool:
    """Tell whether all runs are of one machine."""
    return len({run.machine for run in runs}) == 1


def compared(runs: Sequence[Run]) -> str:
    """Return what is compared with what, in words."""
    judged = (
        "Ratios of arms that were measured side by side are compared. Where the intervals of two "
        f"runs overlap, “{OVERLAP}”; else the one is named that is slower beside its "
        "own base, and by how much."
    )
    if one_machine(runs):
        return f"{judged} Medians stand beside them to be read: they are of different moments."
    return (
        f"These runs are of different machines, so only their ratios are compared, and their "
        f"medians are left out. {judged}"
    )


def comparison(runs: Sequence[Run]) -> Table:
    """Return medians and ratios of runs side by side, with what they come to."""
    letters = lettered(runs)
    medians = one_machine(runs)
    columns = (
        *("question", "case", "arm"),
        *(f"median {letter}" for letter in letters if medians),
        "against",
        *(f"ratio {letter}" for letter in letters),
        "verdict",
    )
    rows = []
    for question, case, arm in _asked(runs):
        ones = {letter: run.arms(question, case).get(arm) for letter, run in letters.items()}
        controls = {letter: run.control(question, case) for letter, run in letters.items()}
        times = [duration(one.median) if one else NONE for one in ones.values() if medians]
        against = _bases(arm, ones.values())
        for base in against:
            ratios = {letter: one.ratios.get(base) if one else None for letter, one in ones.items()}
            told = CONTROL if arm.endswith(AGAIN) else verdict(ratios, controls)
            cells = (question, case, arm, *times, base, *map(text, ratios.values()), told)
            rows.append(Row(cells, doubtful=told.startswith("not")))
        if medians and not against:
            rows.append(Row((question, case, arm, *times, *[NONE] * (1 + len(runs)), ALONE)))
    return Table(columns, tuple(rows))


def verdict(ratios: dict[str, Interval | None], controls: dict[str, Interval | None]) -> str:
    """Return what the same ratio of several runs comes to, each beside the first that has it.

    Args:
        ratios: by the letter of the run.
        controls: the ratio of an arm to itself, likewise.
    """
    there = {letter: found for letter, found in ratios.items() if found}
    first, *others = there
    if not others:
        return f"measured in {first} alone"
    for letter in there:
        if (control := controls[letter]) and (doubted := doubt(control)):
            return f"{doubted} in {letter}"
    told = [difference(first, there[first], letter, there[letter]) for letter in others]
    if len(told) > 1:
        told = [
            f"{letter}: {words}" if words == OVERLAP else words
            for letter, words in zip(others, told, strict=True)
        ]
    missing = "" if all(controls[letter] for letter in there) else " (A/A not measured)"
    return "; ".join(told) + missing


def difference(one: str, ratio_of_one: Interval, other: str, ratio_of_other: Interval) -> str:
    """Return which of two is slower and by how much, if their intervals are apart."""
    if ratio_of_one.low <= ratio_of_other.high and ratio_of_other.low <= ratio_of_one.high:
        return OVERLAP
    if ratio_of_other.value < ratio_of_one.value:
        return f"{one} slower by {_more(ratio_of_one, ratio_of_other)} than {other}"
    return f"{other} slower by {_more(ratio_of_other, ratio_of_one)} than {one}"


def _more(slower: Interval, faster: Interval) -> str:
    return f"{number((slower.value / faster.value - 1) * 100)} %"


def _asked(runs: Sequence[Run]) -> list[tuple[str, str, str]]:
    """Return what was measured in any of the runs, in the order of the first that has it."""
    found = dict.fromkeys((one.question, one.case, one.arm) for run in runs for one in run.measured)
    order = list(dict.fromkeys((question, case) for question, case, _ in found))
    return sorted(found, key=lambda one: order.index((one[0], one[1])))


def _bases(arm: str, ones: Iterable[Measurement | None]) -> list[str]:
    """Return what an arm was compared with in any of the runs: of a control, itself alone.

    A floor is compared with the Unix socket of its own kind, which is its first base: it only tells
    whether the machine was the same.
    """
    found = list(dict.fromkeys(base for one in ones if one for base in one.ratios))
    if arm.endswith(AGAIN):
        return [base for base in found if base == arm.removesuffix(AGAIN)]
    return found[:1] if arm in BARE | RAW else found
