"""A certificate as one HTML page: a single file without scripts, which works offline.

The content security policy allows one style sheet, by its hash, and nothing else: even if text of a
store got past the escaping, it could neither run nor load anything.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.core.evidence import Certificate
from harness.report import costs, faults, measurements, plots_series, view, words
from harness.report.text import count, duration, pieces, shorten, visible

#: No single text on the page is longer than this many characters.
TEXT_CHARACTERS = 6_000


def render_html(certificate: Certificate) -> str:
    """The page, complete; write it as UTF-8."""
    return render_page(
        "certificate.html.j2",
        certificate=certificate,
        costs=costs,
        document=certificate.to_json(),
        faults=faults,
        findings=view.finding_views(certificate),
        measuring=measurements,
        plots_series=plots_series,
        table_rows=view.TABLE_ROWS,
        view=view,
    )


def render_page(template: str, **values: Any) -> str:
    """The page that `template` makes of `values`, with our style sheet and the policy that allows it alone."""
    style = source("style.css")
    return page_environment().get_template(template).render(
        **values, style=Markup(style), policy=content_security_policy(style), words=words
    )


def content_security_policy(style: str) -> str:
    """The policy of a page whose only resource is the inline style sheet `style` (CSP Level 3)."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@lru_cache(maxsize=1)
def page_environment() -> Environment:
    """Templates of pages: everything is made visible, limited and escaped."""
    environment = Environment(
        loader=PackageLoader("harness.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(content=_content, count=count, duration=duration, pairs=view.pairs)
    return environment


def source(name: str) -> str:
    """The text of a file beside the templates."""
    environment = page_environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _finalize(value: Any) -> Any:
    """Every value that reaches the page goes through here: made visible and limited, then escaped."""
    if isinstance(value, Markup):
        return value
    return visible(shorten(str(value), TEXT_CHARACTERS))


def _content(text: str) -> Markup:
    """File content or code: lines stay lines, and what can't be seen stands out."""
    lines = shorten(text, TEXT_CHARACTERS).split("\n")
    return Markup("\n").join(_content_line(line) for line in lines)


def _content_line(line: str) -> Markup:
    marked = Markup('<span class="ctl">{}</span>')
    return Markup("").join(
        marked.format(piece.text) if piece.special else escape(piece.text) for piece in pieces(line)
    )
