"""Keeps in whatever is built the commit that it is built from: an installed suite tells it."""

import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KEPT = "conformance/commit"
"""Where an installed suite looks for it."""

ASK = ("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


class CustomBuildHook(BuildHookInterface[Any]):
    """Adds one file."""

    _draft: Path

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the file where git knows: a source distribution holds it already."""
        self._draft = Path(self.directory) / ".commit"
        if version == "editable" or not Path(self.root, ".git").exists():
            return
        with suppress(OSError, subprocess.CalledProcessError):
            done = subprocess.run(ASK, cwd=self.root, capture_output=True, check=True)  # noqa: S603 - ours
            self._draft.parent.mkdir(parents=True, exist_ok=True)
            self._draft.write_bytes(done.stdout)
            build_data["force_include"][str(self._draft)] = KEPT

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave nothing beside what was built."""
        del version, build_data, artifact_path
        self._draft.unlink(missing_ok=True)
