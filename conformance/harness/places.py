"""Where the suite's own files are, in a checkout and in an installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_AROUND = _PACKAGE.parent

CHECKOUT = _AROUND if (_AROUND / "pyproject.toml").is_file() else None
"""The checkout that the suite runs from; None: it is installed."""


def _file(installed: str, *in_checkout: str) -> Path:
    """Return where something is: beside the package's modules, or anywhere in the checkout."""
    return CHECKOUT.joinpath(*in_checkout) if CHECKOUT else _PACKAGE / installed


SPECIFICATION = _file("CONFORMANCE.md", "CONFORMANCE.md")
"""The normative text."""

IMPLEMENTATIONS = _file("implementations", "fixtures", "implementations")
"""The manifests that `--impl=NAME` finds."""

RELEASES = _PACKAGE / "releases"
"""The requirements of each release."""

PROTOS = _file("protos", "protos")
"""The schemas."""

COMMIT = _PACKAGE / "commit"
"""The commit that a wheel was built from, which an installed suite cannot ask git for."""
