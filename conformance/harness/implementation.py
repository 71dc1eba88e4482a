"""An implementation as its manifest describes it.

A manifest is a TOML file, `fixtures/implementations/NAME.toml` or any other
path. CONFORMANCE.md, "Manifest", lists its fields.
"""

import datetime as dt
import math
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import known_failures, releases
from .known_failures import KnownFailure
from .places import IMPLEMENTATIONS, RELEASES
from .requirements import Level, Requirement

PROFILES: Mapping[str, frozenset[str]] = {
    "service": frozenset({"service"}),
    "client": frozenset({"client"}),
    "core": frozenset({"service", "client"}),
    "remote": frozenset({"remote"}),
    "security": frozenset({"security"}),
    "orchestrator": frozenset({"orchestrator"}),
    "observability": frozenset({"observability"}),
    "platform": frozenset({"platform"}),
}
"""Each profile by name, with the profiles that claiming it claims."""

VERSION_TIMEOUT = 10.0
"""Seconds for the version command: generous, a cold JVM takes about one."""

BUILD_TIMEOUT = 900.0
"""Seconds for the build step: a cold Rust release build takes minutes."""

_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "name": str,
    "language": str,
    "command": list,
    "version_command": list,
    "cwd": str,
    "build": list,
    "claims": list,
    "env": dict,
    "release": str,
    "known_failures": list,
    "least_keep_alive": (int, float),
}
_REQUIRED = ("name", "language", "command", "claims")


class ManifestError(ValueError):
    """The manifest, or what it names, cannot be used; says which field and why."""


@dataclass(frozen=True, slots=True)
class Implementation:
    """One implementation: how to run it, and what it claims to be."""

    name: str
    language: str
    command: tuple[str, ...]
    cwd: Path
    claims: tuple[str, ...]
    manifest: Path | None = None
    version_command: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    release: str = ""
    """Release of the requirements that it is held to; empty: to all that there are."""
    later: frozenset[str] = frozenset()
    """Requirements that came after that release: they are judged, and not scored."""
    known_failures: tuple[KnownFailure, ...] = ()
    least_keep_alive: float = 0.0
    """Seconds between two pings that its gRPC library allows at least."""

    @property
    def profiles(self) -> frozenset[str]:
        """The profiles that it claims, by themselves or by a name for several."""
        return frozenset[str]().union(*(PROFILES.get(claim, ()) for claim in self.claims))

    def claimed(self, requirement: Requirement) -> bool:
        """Tell whether this implementation says that it meets the requirement."""
        if requirement.id in self.claims:
            return True
        return self.profiles.issuperset(requirement.profiles) and requirement.level is not Level.MAY

    def version(self) -> str:
        """Ask the implementation for its version.

        Raises:
            ManifestError: the version command failed or said nothing.
        """
        if not self.version_command:
            return "unknown"
        done = self._run("version_command", self.version_command, VERSION_TIMEOUT)
        if not (version := done.stdout.strip()):
            raise ManifestError(f"{self.manifest}: version_command printed nothing")
        return version.splitlines()[0]

    def run_build(self) -> None:
        """Run the manifest's build step, if it has one.

        Raises:
            ManifestError: the step failed; holds the end of its output.
        """
        if self.build:
            self._run("build", self.build, BUILD_TIMEOUT)

    def _run(
        self, what: str, command: Sequence[str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(  # noqa: S603 - the user's own manifest names the command
                command,
                cwd=self.cwd,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=True,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.CalledProcessError as error:
            tail = "\n".join((error.stdout + error.stderr).splitlines()[-32:])
            raise ManifestError(
                f"{self.manifest}: {what}: exit status {error.returncode}\n{tail}"
            ) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ManifestError(f"{self.manifest}: {what}: {error}") from error


def find(name_or_path: str) -> Path:
    """Return the manifest that `--impl` means.

    Raises:
        ManifestError: there is none; names those there are.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml" or os.sep in name_or_path:
        if not path.is_file():
            raise ManifestError(f"--impl: there is no file {name_or_path}")
        return path.resolve()
    candidate = IMPLEMENTATIONS / f"{name_or_path}.toml"
    if not candidate.is_file():
        known = ", ".join(sorted(file.stem for file in IMPLEMENTATIONS.glob("*.toml")))
        raise ManifestError(
            f"--impl: unknown implementation {name_or_path!r}; known: {known}; or give a path"
        )
    return candidate


def load(
    manifest: Path,
    requirements: Mapping[str, Requirement],
    *,
    frozen: Path = RELEASES,
    today: dt.date | None = None,
) -> Implementation:
    """Read a manifest and check all that can be checked without starting anything.

    Args:
        manifest: the file.
        requirements: all there are.
        frozen: where the requirements of each release are.
        today: the day by which known failures expire; default: this one.

    Raises:
        ManifestError: it is not TOML, a field is missing, unknown or of the
            wrong type, a claim, a release or a known failure names nothing that
            exists, or the command cannot be executed.
    """
    try:
        raw = tomllib.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ManifestError(f"{manifest}: {error}") from error
    _check_fields(manifest, raw)
    cwd = (manifest.parent / raw.get("cwd", ".")).resolve()
    if not cwd.is_dir():
        raise ManifestError(f"{manifest}: cwd: there is no directory {cwd}")
    _check_claims(manifest, raw["claims"], requirements)
    implementation = Implementation(
        name=raw["name"],
        language=raw["language"],
        command=_command(manifest, "command", raw["command"], cwd, built="build" in raw),
        version_command=_command(
            manifest, "version_command", raw.get("version_command", []), cwd, built="build" in raw
        ),
        build=_command(manifest, "build", raw.get("build", []), cwd, built=False),
        cwd=cwd,
        claims=tuple(raw["claims"]),
        env=dict(raw.get("env", {})),
        release=raw.get("release", ""),
        later=_later(manifest, raw.get("release", ""), requirements, frozen),
        known_failures=_known_failures(
            manifest, raw.get("known_failures", []), requirements, today
        ),
        least_keep_alive=float(raw.get("least_keep_alive", 0)),
        manifest=manifest,
    )
    for entry in implementation.known_failures:
        if not implementation.claimed(requirements[entry.id]):
            raise ManifestError(
                f"{manifest}: known_failures: {entry.id} is not claimed, so that it cannot fail"
            )
    return implementation


def _check_fields(manifest: Path, raw: Mapping[str, Any]) -> None:
    for name, value in raw.items():
        if name not in _FIELDS:
            raise ManifestError(f"{manifest}: unknown field {name!r}; known: {', '.join(_FIELDS)}")
        if not isinstance(value, _FIELDS[name]) or isinstance(value, bool):
            raise ManifestError(f"{manifest}: {name}: wrong type {type(value).__name__}")
    for name in _REQUIRED:
        if not raw.get(name):
            raise ManifestError(f"{manifest}: {name} is missing or empty")
    if not 0 <= raw.get("least_keep_alive", 0) < math.inf:
        raise ManifestError(f"{manifest}: least_keep_alive is a number of seconds, not negative")
    for name in ("command", "version_command", "build", "claims"):
        if not all(isinstance(word, str) for word in raw.get(name, [])):
            raise ManifestError(f"{manifest}: {name}: every word must be a string")


def _check_claims(
    manifest: Path, claims: Sequence[str], requirements: Mapping[str, Requirement]
) -> None:
    for claim in claims:
        if claim in PROFILES:
            continue
        if claim not in requirements:
            raise ManifestError(
                f"{manifest}: claims: there is no profile or requirement {claim!r};"
                f" profiles: {', '.join(PROFILES)}"
            )
        if requirements[claim].level is not Level.MAY:
            raise ManifestError(
                f"{manifest}: claims: {claim} is a {requirements[claim].level};"
                " only a MAY is claimed by its ID, the others by their profile"
            )


def _command(
    manifest: Path, name: str, words: Sequence[str], cwd: Path, *, built: bool
) -> tuple[str, ...]:
    """Fill in `{python}`, and make sure that the program can be executed.

    A command that a build step makes may not exist yet.
    """
    if not words:
        return ()
    program, *arguments = [word.replace("{python}", sys.executable) for word in words]
    if os.sep in program:
        path = cwd / program
        if not built and not path.is_file():
            raise ManifestError(f"{manifest}: {name}: there is no file {path}")
        if path.is_file() and not os.access(path, os.X_OK):
            raise ManifestError(f"{manifest}: {name}: {path} is not executable")
        return (str(path), *arguments)
    if (found := shutil.which(program)) is None:
        raise ManifestError(f"{manifest}: {name}: no program {program!r} on PATH")
    return (found, *arguments)


def _later(
    manifest: Path, release: str, requirements: Mapping[str, Requirement], frozen: Path
) -> frozenset[str]:
    if not release:
        return frozenset()
    try:
        return frozenset(requirements) - releases.read(release, frozen)
    except ValueError as error:
        raise ManifestError(f"{manifest}: release: {error}") from error


def _known_failures(
    manifest: Path,
    entries: Sequence[Any],
    requirements: Mapping[str, Requirement],
    today: dt.date | None,
) -> tuple[KnownFailure, ...]:
    day = today or dt.datetime.now(dt.UTC).date()
    try:
        found = tuple(known_failures.parse(entry, requirements, day) for entry in entries)
        known_failures.check_distinct(found)
    except ValueError as error:
        raise ManifestError(f"{manifest}: known_failures: {error}") from error
    return found
