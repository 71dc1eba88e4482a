"""Where the suite's own files are, in a checkout and in an installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_CHECKOUT = _PACKAGE.parent


def _first(*candidates: Path) -> Path:
    return next((path for path in candidates if path.exists()), candidates[0])


SPECIFICATION = _first(_CHECKOUT / "CONFORMANCE.md", _PACKAGE / "CONFORMANCE.md")
"""The normative text."""

IMPLEMENTATIONS = _first(_CHECKOUT / "fixtures" / "implementations", _PACKAGE / "implementations")
"""The manifests that `--impl=NAME` finds."""

RELEASES = _PACKAGE / "releases"
"""The requirements of each release."""

PROTOS = _first(_CHECKOUT / "protos", _PACKAGE / "protos")
"""The schemas."""
