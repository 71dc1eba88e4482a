"""Saved runs of these benchmarks, as a report reads them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from benchmarks.series import Interval

SAVED = "*/[0-9][0-9][0-9][0-9]_*.json"
"""What it calls the runs there: by machine, and by number."""

LONG = 120
"""Characters of what is wrong with a file that are told."""

AGAIN = "-again"
"""What ends the name of an arm that is another one once more: how far to trust the rest."""

_SECONDS = {"type": "number", "exclusiveMinimum": 0}
_AMOUNT = {"type": "number", "minimum": 0}
_WORD = {"type": "string", "minLength": 1}


def _object(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object that has all of these, and may have others."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: dict[str, Any], least: int, most: int | None = None) -> dict[str, Any]:
    bounds = {"minItems": least} | ({"maxItems": most} if most else {})
    return {"type": "array", "items": items, **bounds}


_EXTRA = _object(
    question=_WORD,
    case=_WORD,
    arm=_WORD,
    unit=_WORD,
    per_second=_AMOUNT,
    mb_per_second=_AMOUNT,
    client_cpu=_AMOUNT,
    quantiles=_list(_SECONDS, 101, 101),
    ratios={"type": "object", "additionalProperties": _list(_SECONDS, 3, 3)},
)

_MEASURED = _object(
    extra_info=_EXTRA, stats=_object(median=_SECONDS, mean=_SECONDS, rounds=_AMOUNT)
)

_SCHEMA = _object(
    datetime=_WORD,
    implementation=_object(name=_WORD, version={"type": "string"}, placement=_WORD),
    machine_info=_object(node=_WORD, python_version=_WORD),
    commit_info={"type": "object"},
    benchmarks=_list(_MEASURED, 1),
)
_SCHEMA["properties"]["not_run"] = _list(_object(test=_WORD, reason=_WORD), 0)


class BadInputError(Exception):
    """A file that no report can be made of; the sentence names it."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One arm of one case of a question. Times are in seconds."""

    question: str
    case: str
    arm: str
    unit: str
    calls: int
    """How many of the unit one time stands for."""
    per_second: float
    mb_per_second: float
    client_cpu: float
    """For which the measuring process itself kept a CPU busy, of one time."""
    median: float
    mean: float
    rounds: int
    quantiles: tuple[float, ...]
    """From the least time, by hundredths, to the longest."""
    ratios: dict[str, Interval]
    """How many times longer it takes than other arms."""

    @classmethod
    def of(cls, saved: dict[str, Any]) -> "Measurement":
        """Take what was saved of it."""
        extra, stats = saved["extra_info"], saved["stats"]
        return cls(
            **{name: extra[name] for name in ("question", "case", "arm", "unit")},
            calls=max(1, round(extra["per_second"] * stats["median"])),
            **{name: extra[name] for name in ("per_second", "mb_per_second", "client_cpu")},
            **{name: stats[name] for name in ("median", "mean", "rounds")},
            quantiles=tuple(extra["quantiles"]),
            ratios={base: Interval(*found) for base, found in extra["ratios"].items()},
        )

    @property
    def share(self) -> float:
        """The measuring client's part of the time: what it kept its own CPU busy."""
        return self.client_cpu / self.mean


@dataclass(frozen=True, slots=True)
class Missing:
    """A test that measured nothing, and why."""

    test: str
    reason: str


@dataclass(frozen=True, slots=True)
class Run:
    """One saved run."""

    path: Path
    saved: dict[str, Any]
    measured: tuple[Measurement, ...]

    @property
    def name(self) -> str:
        """What its file is called."""
        return self.path.stem

    @property
    def implementation(self) -> str:
        """What was measured."""
        told = self.saved["implementation"]
        return f"{told['name']} {told['version']}".strip()

    @property
    def commit(self) -> str:
        """That of the working directory, of which parts may have been changed."""
        told = self.saved["commit_info"]
        if not (commit := told.get("id")) or commit == "unknown":
            return "none"
        return f"{commit[:10]}{', with changes' if told.get('dirty') else ''}"

    @property
    def code(self) -> str:
        """What was measured, as far as a run knows: with changes, or without a commit, its own."""
        known = self.commit != "none" and "changes" not in self.commit
        return f"{self.implementation} {self.commit if known else self.path}"

    @property
    def date(self) -> str:
        """When, to the minute."""
        return str(self.saved["datetime"])[:16].replace("T", " ") + " UTC"

    @property
    def cpu(self) -> str:
        """The processor, and how many of it."""
        machine = self.saved["machine_info"]
        told = machine.get("cpu") or {}
        model = told.get("brand_raw") or machine.get("processor") or machine.get("machine", "")
        return f"{model or 'unknown'}, {told.get('count', 'unknown')} CPUs"

    @property
    def system(self) -> str:
        """The kernel."""
        machine = self.saved["machine_info"]
        return " ".join(filter(None, (machine.get("system"), machine.get("release"))))

    @property
    def python(self) -> str:
        """The interpreter of whoever measured, and its gRPC."""
        machine = self.saved["machine_info"]
        name = machine.get("python_implementation", "Python")
        grpcio = self.saved.get("client", {}).get("grpcio")
        return f"{name} {machine['python_version']}{f', grpcio {grpcio}' if grpcio else ''}"

    @property
    def machine(self) -> tuple[str, str]:
        """Which it was: times of two machines say nothing of what was measured."""
        return self.saved["machine_info"]["node"], self.cpu

    @property
    def effort(self) -> str:
        """How long each arm was measured."""
        seconds = self.saved["benchmarks"][0].get("options", {}).get("max_time", "unknown")
        least = min(one.rounds for one in self.measured)
        return f"{seconds} s an arm and case, {least} times at least"

    @property
    def not_run(self) -> tuple[Missing, ...] | None:
        """What was not measured; nothing where the run does not tell."""
        if (told := self.saved.get("not_run")) is None:
            return None
        return tuple(Missing(one["test"], one["reason"]) for one in told)

    def cases(self) -> list[tuple[str, str]]:
        """Return each question with each of its cases, in the order of the run."""
        return list(dict.fromkeys((one.question, one.case) for one in self.measured))

    def arms(self, question: str, case: str) -> dict[str, Measurement]:
        """Return what was measured side by side."""
        return {
            one.arm: one for one in self.measured if (one.question, one.case) == (question, case)
        }

    def of(self, question: str) -> dict[str, dict[str, Measurement]]:
        """Return the arms of each case of a question."""
        return {case: self.arms(question, case) for q, case in self.cases() if q == question}

    def control(self, question: str, case: str) -> Interval | None:
        """Return the ratio of an arm to itself, where it was measured."""
        for arm, one in self.arms(question, case).items():
            if arm.endswith(AGAIN):
                return one.ratios.get(arm.removesuffix(AGAIN))
        return None


def newest(storage: Path) -> Path:
    """Return the run that was saved last.

    Raises:
        BadInputError: there is none.
    """
    runs = sorted(storage.glob(SAVED), key=lambda path: path.stat().st_mtime)
    if not runs:
        raise BadInputError(
            f"{storage} holds no saved run: save one with `pytest benchmarks/ --benchmark-save`"
        )
    return runs[-1]


def read(path: Path) -> Run:
    """Read a saved run.

    Raises:
        BadInputError: it cannot be read, or is something else.
    """
    try:
        saved = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refused)
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadInputError(f"{path} is not JSON: {error}") from error
    if (wrong := best_match(Draft202012Validator(_SCHEMA).iter_errors(saved))) is not None:
        where = ".".join(map(str, wrong.absolute_path)) or "the file"
        raise BadInputError(
            f"{path} is no saved run of these benchmarks: in {where}, {_shortened(wrong.message)}"
        )
    return Run(path, saved, tuple(Measurement.of(one) for one in saved["benchmarks"]))


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _shortened(message: str) -> str:
    """Return the end of a message, which may begin with a whole document."""
    return message if len(message) <= LONG else f"…{message[-LONG:]}"
