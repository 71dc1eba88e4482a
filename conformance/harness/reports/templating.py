"""Pages that need nothing besides themselves, and in which nothing that is shown can act.

Jinja2 escapes what goes into them, `visible` shows what a browser would hide or reorder, and the
page's own policy lets the browser run one script and take one style sheet, by their hashes, and
load nothing.
"""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from ..printable import visible
from .grouping import duration

TEMPLATES = Path(__file__).with_name("templates")

_LAW = MarkdownIt("zero").enable(["backticks", "emphasis", "escape"])
"""What the texts of requirements are marked up with; everything else in them is shown as it is."""


def render(template: str, **values: Any) -> str:
    """Return a page."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (
        (TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "script.js")
    )
    environment.globals |= {
        # Our own files: everything else is escaped.
        "style": Markup(style),  # noqa: S704
        "script": Markup(script),  # noqa: S704
        "policy": (
            f"default-src 'none'; base-uri 'none'; form-action 'none'; "
            f"style-src {_hash(style)}; script-src {_hash(script)}"
        ),
    }
    environment.filters |= {"law": law, "duration": duration}
    return environment


def law(text: str) -> Markup:
    """Return text of CONFORMANCE.md with its code and emphasis; markdown-it escapes the rest."""
    if "`" in text or "*" in text or "\\" in text:
        return Markup(_LAW.renderInline(text))  # noqa: S704 - escaped
    return Markup.escape(text)


def _finalize(value: Any) -> Any:
    return visible(value) if type(value) is str else value


def _hash(text: str) -> str:
    """Return how a policy names what stands in the page itself."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
