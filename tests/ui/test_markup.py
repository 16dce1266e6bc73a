"""HTML: nothing that a model, a text or a user says becomes a tag, a script, or a request to elsewhere."""

import re

import pytest

from foundry.ui import card_view, markup

ATTACK = """<script>alert(1)</script><img src=x onerror=alert(1)> ${alert(1)} {{constructor}} "'`"""


def test_every_piece_escapes() -> None:
    pieces = [
        markup.message(ATTACK), markup.message(ATTACK, "bad"), markup.empty(ATTACK, ATTACK), markup.code(ATTACK),
        markup.facts([(ATTACK, ATTACK)]), markup.table(ATTACK, [ATTACK], [[markup.escaped(ATTACK)]]),
        markup.folded(ATTACK, ""), markup.picture(b"<svg/>", ATTACK),
    ]  # fmt: skip
    for piece in pieces:
        assert "<script" not in piece
        assert "<img src=x" not in piece
        assert not re.search(r"[$`{}]", piece)
        assert not re.search(r"onerror=alert\(1\)(?!&gt;)", piece)


@pytest.mark.parametrize(
    "text",
    [
        "![a](https://evil.example/a.png)", "![a](//evil.example/a.png)", "![a][b]\n\n[b]: https://evil.example/x",
        "<img src='https://evil.example/a.png'>", "<IMG SRC=https://evil.example/a.png>", "![b]\n\n[b]: https://x/y",
        "<video src=https://evil.example/a></video>", "<iframe src=https://evil.example></iframe>",
        "<div style='background:url(https://evil.example)'>x</div>", "<script>alert(1)</script>",
        "<svg><image href=https://evil.example/a></svg>", "<img src=x onerror=alert(1)", "<link rel=stylesheet href=x>",
        "<details ontoggle=alert(1) open>x</details>", "<a href='javascript:alert(1)'>x</a>", "![a](<https://e/a.png>)",
        "<b style=x:url(//evil)>x</b>", "<im<img src=y>g src=x>",
    ],
)  # fmt: skip
def test_a_card_loads_nothing_and_runs_nothing(text: str) -> None:
    safe = card_view.safe(f"# Title\n\n{text}\n", {})
    assert not re.search(r"<(?!/?(?:details|b)>)", safe), safe
    assert "![" not in safe


def test_a_card_keeps_its_own_charts_and_what_it_folds() -> None:
    text = (
        "![quality](charts/quality.png)\n\n<details><summary>More</summary>\n\n| a |\n|---|\n| 1 < 2 |\n\n</details>\n"
    )
    text += '<img src="charts/speed.png" width="49%" alt="speed">'
    safe = card_view.safe(text, {"charts/quality.png": b"png", "charts/speed.png": b"gnp"})
    assert "![quality](data:image/png;base64,cG5n)" in safe
    assert "![speed](data:image/png;base64,Z25w)" in safe
    assert "<details><summary>More</summary>" in safe


@pytest.mark.parametrize("piece", ["![", "<!--", '<a "', "![a](", "![a](b ", "<a "])
def test_a_card_of_beginnings_without_ends_is_shown_soon(piece: str) -> None:
    """A search that goes from each beginning to the end would take hours here."""
    text = piece * (200_000 // len(piece))
    assert len(card_view.safe(text, {})) >= 100_000
