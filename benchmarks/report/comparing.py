"""Two or more runs side by side: what is seen to differ, and what cannot be told."""

import string
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from benchmarks.arms import BARE, RAW
from benchmarks.series import Interval

from .runs import AGAIN, BadInputError, Measurement, Run
from .tables import NONE, Row, Table, doubt, duration, number, text

LETTERS = string.ascii_uppercase
"""By which a table names runs."""

OVERLAP = "no difference seen"

ONE_EACH = "one run each: of the same code two may differ as much"
"""Of a difference between single runs: what stands between them may be the host's."""

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
        "Ratios of arms that were measured side by side are compared. Runs of the same code (one "
        "implementation, version and commit) tell how far a ratio moves by itself. Where an "
        f"interval of one code overlaps one of another, “{OVERLAP}”; else the one is "
        "named that is slower beside its own base, and by how much."
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
    codes = {letter: run.code for letter, run in letters.items()}
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
            told = CONTROL if arm.endswith(AGAIN) else verdict(ratios, controls, codes)
            cells = (question, case, arm, *times, base, *map(text, ratios.values()), told)
            rows.append(Row(cells, doubtful=told.startswith("not")))
        if medians and not against:
            rows.append(Row((question, case, arm, *times, *[NONE] * (1 + len(runs)), ALONE)))
    return Table(columns, tuple(rows))


def verdict(
    ratios: dict[str, Interval | None],
    controls: dict[str, Interval | None],
    codes: dict[str, str] | None = None,
) -> str:
    """Return what the same ratio of several runs comes to, each code beside the first that has it.

    Runs of the same code do not differ: they tell how far the ratio moves by itself, and codes
    differ where all runs of the one are beyond all runs of the other.

    Args:
        ratios: by the letter of the run.
        controls: the ratio of an arm to itself, likewise.
        codes: what each run measured; None: another code each.
    """
    there = {letter: found for letter, found in ratios.items() if found}
    if len(there) == 1:
        return f"measured in {next(iter(there))} alone"
    for letter in there:
        if (control := controls[letter]) and (doubted := doubt(control)):
            return f"{doubted} in {letter}"
    groups: dict[str, dict[str, Interval]] = {}
    for letter, found in there.items():
        groups.setdefault(codes[letter] if codes else letter, {})[letter] = found
    first, *others = groups.values()
    told = [difference(first, other) for other in others]
    if len(told) > 1:
        told = [
            f"{''.join(other)}: {words}" if words == OVERLAP else words
            for other, words in zip(others, told, strict=True)
        ]
    told += [
        f"{''.join(one)} the same code, moves by {moved(one)}"
        for one in groups.values()
        if len(one) > 1
    ]
    missing = "" if all(controls[letter] for letter in there) else " (A/A not measured)"
    return "; ".join(told) + missing


def moved(group: Mapping[str, Interval]) -> str:
    """Return how far the ratio of one code moved between its runs."""
    values = [one.value for one in group.values()]
    return f"{number((max(values) / min(values) - 1) * 100)} %"


def difference(one: Mapping[str, Interval], other: Mapping[str, Interval]) -> str:
    """Return which of two codes is slower and by how much, if all of their intervals are apart."""
    if _beyond(one, other):
        return _slower(one, other)
    return _slower(other, one) if _beyond(other, one) else OVERLAP


def _beyond(one: Mapping[str, Interval], other: Mapping[str, Interval]) -> bool:
    return min(ratio.low for ratio in one.values()) > max(ratio.high for ratio in other.values())


def _slower(slow: Mapping[str, Interval], fast: Mapping[str, Interval]) -> str:
    found = median(one.value for one in slow.values()) / median(one.value for one in fast.values())
    alone = f" ({ONE_EACH})" if len(slow) == len(fast) == 1 else ""
    return f"{''.join(slow)} slower by {number((found - 1) * 100)} % than {''.join(fast)}{alone}"


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
