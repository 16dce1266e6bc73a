"""An entry is added to a mapping of a YAML file, and every other byte stays as it is."""

import pytest
import yaml

from foundry.base import yaml_editing
from foundry.base.errors import FoundryError


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("m:\n  a: 1 # why\n\n# next\nn: 2\n", "m:\n  a: 1 # why\n  x:\n    b: {c: 1}\n\n# next\nn: 2\n"),
        ("m:\n    a: {b: 1,\n        c: 2}", "m:\n    a: {b: 1,\n        c: 2}\n    x:\n      b: {c: 1}\n"),
        ("m:\n  a: &k {b: 1}\n  c: *k\nn: 2\n", "m:\n  a: &k {b: 1}\n  c: *k\n  x:\n    b: {c: 1}\nn: 2\n"),
        ("m:\n  a: |\n    text\n\nn: 2\n", "m:\n  a: |\n    text\n\n  x:\n    b: {c: 1}\nn: 2\n"),
        ("m:\n  a:\n  - 1\nn: 2\n", "m:\n  a:\n  - 1\n  x:\n    b: {c: 1}\nn: 2\n"),
        ("m: {} # why\n", "m: {x: {b: {c: 1}}} # why\n"),
        ("m: {a: {b: 1} # why\n  }\n", "m: {a: {b: 1}, x: {b: {c: 1}} # why\n  }\n"),
        ("m:\r\n  a: 1 # why\r\nn: 2\r\n", "m:\r\n  a: 1 # why\r\n  x:\r\n    b: {c: 1}\r\nn: 2\r\n"),
    ],
)
def test_an_entry_joins_the_others(before: str, after: str) -> None:
    assert yaml_editing.with_entry(before, ["m"], "x", {"b": {"c": 1}}) == after


def test_values_keep_their_types() -> None:
    values = {"digits": "1" * 40, "colon": "a: b", "long": "word " * 100, "flag": True, "list": ["1", 2]}
    edited = yaml_editing.with_entry("m:\n  n: {}\n", ["m", "n"], "1e5", values)
    assert yaml.safe_load(edited)["m"]["n"]["1e5"] == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n: 1\n", "there is no mapping m"),
        ("m: 1\n", "there is no mapping m"),
        ("m: &m\n  a: 1\nn:\n  <<: *m\n", "m is written in a way that cannot be edited; add there: x: 1"),
    ],
)
def test_what_cannot_be_edited_is_an_error(text: str, message: str) -> None:
    with pytest.raises(FoundryError, match=message):
        yaml_editing.with_entry(text, ["m"], "x", 1)
