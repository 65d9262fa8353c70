"""The report as one HTML file that needs nothing else: the Markdown, with its pictures inside."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping
from typing import Any

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8886; --head: #8882; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }}
h2 {{ margin-top: 3rem; border-bottom: 1px solid var(--line); }}
.wide {{ overflow-x: auto; margin: 1rem 0; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; }}
th, td {{ border: 1px solid var(--line); padding: 0.25rem 0.6rem; vertical-align: top; }}
th {{ background: var(--head); }}
img {{ max-width: 100%; height: auto; background: #fff; }}
</style>
</head>
<body>
{body}</body>
</html>
"""


def page(markdown: str, pictures: Mapping[str, bytes]) -> str:
    """Renders Markdown.

    Args:
        markdown: the report.
        pictures: SVG by the name under which the report refers to it. Each becomes an image of its own,
            so that the ids of one cannot meet those of another.
    """
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False, "xhtmlOut": True}).enable("table")

    def picture(tokens: Any, index: int, options: Any, env: Any) -> str:
        token = tokens[index]
        data = base64.b64encode(pictures[token.attrs["src"]]).decode("ascii")
        description = html.escape(reader.renderer.renderInlineAsText(token.children, options, env))
        return f'<img alt="{description}" src="data:image/svg+xml;base64,{data}">'

    def heading(tokens: Any, index: int, options: Any, env: Any) -> str:
        tokens[index].attrSet("id", anchor(tokens[index + 1].content))
        return reader.renderer.renderToken(tokens, index, options, env)

    reader.renderer.rules |= {
        "image": picture,
        "heading_open": heading,
        "table_open": lambda *_: '<div class="wide"><table>\n',
        "table_close": lambda *_: "</table></div>\n",
    }
    title = markdown.split("\n", 1)[0].removeprefix("# ")
    return _PAGE.format(title=html.escape(title), body=reader.render(markdown))


def anchor(heading: str) -> str:
    """The id that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
