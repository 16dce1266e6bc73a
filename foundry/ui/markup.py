"""Pieces of HTML. What comes from a model, a text or a user is escaped here, and no HTML is made of it elsewhere."""

import base64
import html
from collections.abc import Iterable, Sequence

# Gradio fills what stands in braces after `$` into a component's template, so that no text may hold these.
TEMPLATE_CHARACTERS = {"$": "&#36;", "{": "&#123;", "}": "&#125;", "`": "&#96;"}


def escaped(value: object) -> str:
    """A text for HTML, in an element or an attribute."""
    text = html.escape(str(value), quote=True)
    for character, entity in TEMPLATE_CHARACTERS.items():
        text = text.replace(character, entity)
    return text


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the caption and the header are plain text, the cells are HTML."""
    head = "".join(f'<th scope="col">{escaped(cell)}</th>' for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escaped(caption)}"><table>'
        f"<caption>{escaped(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def message(text: str, kind: str = "good") -> str:
    """What came of a click; a screen reader reads it out. `kind` is good, bad or note."""
    if not text:
        return ""
    role = "alert" if kind == "bad" else "status"
    word = {"good": "", "bad": "Error: ", "note": ""}[kind]
    return f'<div class="message {kind}" role="{role}"><b>{word}</b>{escaped(text)}</div>'


def empty(heading: str, what_to_do: str) -> str:
    """What stands where there is nothing yet, and what to do about it."""
    return f'<div class="empty"><p><b>{escaped(heading)}</b></p><p>{escaped(what_to_do)}</p></div>'


def code(text: str) -> str:
    """Lines as they are."""
    return f'<pre class="code" tabindex="0">{escaped(text)}</pre>'


def picture(content: bytes, description: str, kind: str = "svg+xml") -> str:
    """A picture inside the page. As an image, an SVG runs no script and loads nothing."""
    data = base64.b64encode(content).decode()
    return f'<img class="chart" src="data:image/{kind};base64,{data}" alt="{escaped(description)}">'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names with their values; the values are plain text."""
    inner = "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>" for name, value in rows)
    return f'<dl class="facts">{inner}</dl>'


def folded(summary: str, content: str) -> str:
    """HTML that a click shows."""
    return f"<details><summary>{escaped(summary)}</summary>{content}</details>"
