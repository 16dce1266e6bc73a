"""The model card: what others have written stays, in the front matter and around the marks, in whatever form."""

import re
from pathlib import Path

import pytest

from foundry.publishing.card import MARK_END, MARK_START, with_section, write
from foundry.variants import model_card

FRONT_MATTER = {
    "lists, comments": "license: mit\ntags:\n- a\n- b # the last\nfoo: 1 # why\n# the end",
    "in braces": "{license: mit, tags: [a, b], x: 1}",
    "only a comment": "# nothing yet",
    "empty": "",
    "one tag as a text": "tags: sentence-similarity\nlicense: mit",
    "no value": "tags:\nlicense: mit # why",
    "an anchor": "tags: &t [a]\nother: *t",
    "an alias": "other: &t [a]\ntags: *t\nz: 1",
    "a comma at the end": "tags: [a, b,]\nz: 1",
    "numbers": "tags:\n  - 1\n  - x\nlicense: mit",
    "a block of text": "tags:\n- |\n  block\nz: 2",
    "a key twice": "license: mit\nlicense: apache-2.0\ntags: [x]",
    "dashes in a value": "title: a---\nb: '---'\ntags: [q]",
    "figures and dates": "model-index:\n- name: x\n  results: []\nbase_model: other/model\ndate: 2024-01-01\nv: 1.10",
    "comments between": "tags:   # why\n- a\n\n# the next\nz: 1",
    "references": "a: &a [1,1]\nb: &b [*a,*a]\nc: [*b,*b]",
}
BROKEN = {
    "no YAML": "license: mit\nbroken: [",
    "a list": "- a\n- b",
    "two colons": "title: x: y",
    "fences": "x: `\n- ```",
}


@pytest.mark.parametrize("line_break", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("front", [*FRONT_MATTER.values(), *BROKEN.values()], ids=[*FRONT_MATTER, *BROKEN])
def test_front_matter_keeps_what_it_had(tmp_path: Path, front: str, line_break: str) -> None:
    before = f"---\n{front}\n---\n# Title\n\nwords ---\n---\nmore\n".replace("\n", line_break)
    write(tmp_path / "README.md", before, {"onnx", "openvino"}, "org/name", "The section.")
    text = (tmp_path / "README.md").read_bytes().decode()
    was, now = model_card.parse(before), model_card.parse(text)
    assert now.mistake is None
    assert {key: value for key, value in now.data.items() if key not in ("tags", "base_model")} == {
        key: value for key, value in was.data.items() if key not in ("tags", "base_model")
    }
    tags = model_card.texts(was.data.get("tags"))
    assert now.data["tags"] == [*tags, "sentence-transformers", "onnx", "openvino"]
    assert model_card.texts(now.data["base_model"]) == [*model_card.texts(was.data.get("base_model")), "org/name"]
    assert all(comment in text for comment in re.findall(r"# \w.*\w", front))
    assert f"words ---{line_break}---{line_break}more" in text
    if was.mistake is not None:
        assert front.replace("\n", line_break) in text
    write(tmp_path / "README.md", text, {"onnx", "openvino"}, "org/name", "The section.")
    assert (tmp_path / "README.md").read_bytes().decode() == text


def test_only_what_is_added_differs(tmp_path: Path) -> None:
    before = "---\n# ours\nlicense:   \"mit\"\ntags: [a]   # first\n\nwidget:\n    - text: 'x'\n---\nWords\n"
    write(tmp_path / "README.md", before, {"onnx"}, None, "The section.")
    text = (tmp_path / "README.md").read_text()
    assert text.partition("Words")[0] == (
        '---\n# ours\nlicense:   "mit"\ntags: [a, "sentence-transformers", "onnx"]   # first\n\n'
        "widget:\n    - text: 'x'\n---\n"
    )


def test_tags_that_are_no_texts_are_kept_as_a_comment(tmp_path: Path) -> None:
    write(tmp_path / "README.md", "---\ntags: {kind: x}\n---\nWords\n", {"onnx"}, None, "The section.")
    text = (tmp_path / "README.md").read_text()
    assert model_card.parse(text).data == {"tags": ["sentence-transformers", "onnx"]}
    assert "kind: x" in text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("words", "words\n\nNEW\n"),
        (f"above\n{MARK_START}\nold\n{MARK_END}\nbelow", "above\n\nNEW\nbelow"),
        (f"above\n{MARK_START}\nold\n\nbelow", "above\n\nNEW\nold\n\nbelow"),  # without its end
        (f"above\n{MARK_END}\nbelow", f"above\n{MARK_END}\nbelow\n\nNEW\n"),  # without its start
        (f"{MARK_END} above {MARK_START} below", f"{MARK_END} above\n\nNEW\nbelow"),  # the wrong way round
        (f"a {MARK_START} words {MARK_START} old {MARK_END} b", f"a {MARK_START} words\n\nNEW\nb"),
        (f"a {MARK_START} old {MARK_END} words {MARK_START} b", f"a\n\nNEW\nwords {MARK_START} b"),
    ],
)
def test_nothing_around_the_section_is_lost(body: str, expected: str) -> None:
    assert with_section(body, "new").replace(f"{MARK_START}\nnew\n{MARK_END}", "NEW") == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_card_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "README.md").write_bytes("---\nlicense: mit\n---\nWörter\n".encode(encoding))
    assert model_card.read(tmp_path / "README.md") == "---\nlicense: mit\n---\nWörter\n"
