"""Begin an implementation: write a manifest, the schemas, and a program that starts and says so.

DIR is made, or is empty: nothing is ever overwritten. What is written is a beginning: it keeps the
launch contract as far as it goes, and refuses the rest by name.
"""

import argparse
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

from ..harness.implementation import ManifestError
from ..harness.places import PROTOS

NAME = "new"

SKELETONS = Path(__file__).with_name("skeletons")
EVERY = SKELETONS / "all"
"""What implementations in all languages begin with."""

DESCRIPTION = "language.toml"
"""What the files of `EVERY` say of a language; not written."""

LANGUAGES = ("python", "go", "other")

_GOOD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_PLACES = {
    "manifest.toml": "@NAME@.toml",
    "gitignore": ".gitignore",
    "go.mod.template": "go.mod",
    "conformance.yml": ".github/workflows/conformance.yml",
}
"""Where files go that cannot have their own names here."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("directory", metavar="DIR", type=Path)
    parser.add_argument("--language", choices=LANGUAGES, default="other")
    parser.add_argument("--name", help="in the manifest and in reports; default: that of DIR")


def run(options: argparse.Namespace) -> int:
    """Write everything, and say what is next."""
    directory: Path = options.directory
    name = options.name or directory.resolve().name
    write(directory, name, options.language)
    for file in sorted(directory.iterdir()):
        print(f"  {directory / file.name}{'/' if file.is_dir() else ''}")
    print(
        f"next:\n  cd {directory}\n  blackhole-conformance doctor {name}.toml\n"
        "README.md there goes on from here"
    )
    return 0


def write(directory: Path, name: str, language: str) -> None:
    """Write the beginning of an implementation.

    Raises:
        ManifestError: the name cannot be used, or something is there already.
    """
    if not _GOOD_NAME.fullmatch(name):
        raise ManifestError(f"--name: {name!r} is not made of letters, digits and . _ - alone")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ManifestError(f"{directory} is there, and not empty: nothing is overwritten")
    skeleton = SKELETONS / language
    words = {"NAME": name}
    words |= tomllib.loads((skeleton / DESCRIPTION).read_text(encoding="utf-8"))
    for source, place in _files(skeleton):
        file = directory / _filled(place, words)
        file.parent.mkdir(parents=True, exist_ok=True)
        text = _filled(source.read_text(encoding="utf-8"), words).rstrip("\n")
        file.write_text(f"{text}\n", encoding="utf-8")
        if file.suffix == ".sh":
            file.chmod(0o755)
    for part in ("blackhole", "third_party"):
        shutil.copytree(PROTOS / part, directory / "protos" / part)


def _files(skeleton: Path) -> Iterator[tuple[Path, str]]:
    """Yield each template, and where it goes."""
    for root in (EVERY, skeleton):
        for source in sorted(path for path in root.rglob("*") if path.is_file()):
            place = source.relative_to(root)
            if source.name == DESCRIPTION or "__pycache__" in place.parts:
                continue
            yield source, _PLACES.get(str(place), str(place))


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"@{word.upper()}@", value.rstrip("\n"))
    return text
