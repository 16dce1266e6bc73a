"""A model card for the page: its own charts inside it, and nothing that a browser would load from elsewhere."""

import base64
import re
from collections.abc import Mapping

# Repeats are bounded: where no end follows, a search from each beginning would go through the rest of the card.
IMAGE = re.compile(r"!\[([^\]]{0,500})\]\(\s{0,9}<?([^)\s>]{0,500})(?:[\s>][^)]{0,500})?\)")
# References of Markdown (`![text][name]`), and tags of HTML.
REFERENCE = re.compile(r"!\[([^\]]{0,500})\](?!\(data:image/png)")
TAG = re.compile(
    r"<\s{0,9}(/?)\s{0,9}([A-Za-z][A-Za-z0-9-]{0,30})((?:[^<>\"']|\"[^\"]{0,500}\"|'[^']{0,500}'){0,500})>"
)
SOURCE = re.compile(r"""\bsrc\s*=\s*["']?([^"'\s>]+)""", re.IGNORECASE)
ALT = re.compile(r"""\balt\s*=\s*["']([^"']*)["']""", re.IGNORECASE)
# What a card may keep of HTML; everything else is shown as text.
KEPT = {"details", "summary", "br", "b", "i", "em", "strong", "sub", "sup", "code", "p", "ul", "ol", "li", "table",
        "thead", "tbody", "tr", "td", "th"}  # fmt: skip


def without_comments(text: str) -> str:
    """The text without the comments of HTML; one without an end stays."""
    kept, place = [], 0
    while (start := text.find("<!--", place)) >= 0 and (end := text.find("-->", start)) >= 0:
        kept.append(text[place:start])
        place = end + len("-->")
    return "".join([*kept, text[place:]])


def safe(text: str, charts: Mapping[str, bytes]) -> str:
    """The Markdown of a card, with its charts as data and no other picture, tag, or style.

    Args:
        charts: PNG by the path that the card names.
    """

    def image(alt: str, path: str) -> str:
        content = charts.get(path)
        if content is None:
            return f"[picture: {alt}]"
        return f"![{alt}](data:image/png;base64,{base64.b64encode(content).decode()})"

    def tag(match: re.Match[str]) -> str:
        closing, name, rest = match.groups()
        if name.lower() == "img":
            source, alt = SOURCE.search(rest), ALT.search(rest)
            return image(alt[1] if alt else "", source[1] if source else "")
        if name.lower() in KEPT:
            return f"<{closing}{name}>"  # without its attributes
        return match[0].replace("<", "&lt;")

    text = without_comments(text)
    text = IMAGE.sub(lambda match: image(match[1], match[2]), text)
    text = REFERENCE.sub(lambda match: f"[picture: {match[1]}]", text)
    text = TAG.sub(tag, text)
    # A tag without an end, which a browser would complete.
    return re.sub(r"<(?!/?(?:" + "|".join(KEPT) + r")>)", "&lt;", text)
