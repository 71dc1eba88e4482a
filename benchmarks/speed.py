"""The reference as it is configured for speed, where this machine can run it so."""

import shutil

from conformance.harness.implementation import Implementation, find, load
from conformance.harness.requirements import load as requirements

PROGRAM = "chrt"
"""Begins its command."""

NOT_RUN = f"NOT RUN: no {PROGRAM} on this machine (util-linux)"


def for_speed() -> Implementation | None:
    """Return it; None where its program is missing."""
    return load(find("reference-fast"), requirements()) if shutil.which(PROGRAM) else None
