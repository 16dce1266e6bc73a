"""Texts out of files of every format: exactly what stands there, or an error in one line."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from foundry.base.errors import FoundryError
from foundry.data import tables, texts
from foundry.data.settings import PathTexts
from tests.data.conftest import Freeze
from tests.support.projects import ROOT


def texts_of(path: Path, **settings: Any) -> list[str]:
    return list(tables.texts(PathTexts(path=str(path), **settings)))


def error_of(path: Path, **settings: Any) -> str:
    """The message of the error, which is one line and names the file."""
    with pytest.raises(FoundryError) as raised:
        texts_of(path, **settings)
    message = str(raised.value)
    assert "\n" not in message
    assert path.name in message
    return message


def file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- CSV -------------------------------------------------------------------------------------------------


CSV_FILES = {
    "words that data frames take for null": ("id,text\n1,NA\n2,null\n3,None\n4,nan\n", ["NA", "null", "None", "nan"]),
    "leading zeros": ("id,text\n1,007\n2,1.50\n3,1e3\n", ["007", "1.50", "1e3"]),
    "a comma at each row's end": ("id,text\n1,one,\n2,two,\n", ["one", "two"]),
    "a comma at each line's end": ("id,text,\n1,one,\n2,two,\n", ["one", "two"]),
    "semicolons": ("id;text\n1;one, with a comma\n2;two\n", ["one, with a comma", "two"]),
    "tabs": ("id\ttext\n1\tone; two, three\n", ["one; two, three"]),
    "bars": ("id|text\n1|one; two, three\n", ["one; two, three"]),
    "semicolons and quotation marks": ('"id";"text"\n"1";"one; two"\n', ["one; two"]),
    "a byte order mark": ("\ufefftext,id\none,1\n", ["one"]),
    "a byte order mark and quotation marks": ('\ufeff"text","id"\n"one","1"\n', ["one"]),
    "quotation marks": ('id,text\n1,"said ""yes"", twice"\n2,5" wide\n', ['said "yes", twice', '5" wide']),
    "line breaks within a cell": ('id,text\n1,"one\ntwo"\n2,three\n', ["one\ntwo", "three"]),
    "spaces around names and before cells": ('id , text\n1, "one, two"\n', ["one, two"]),
    "Windows line breaks": ("id,text\r\n1,one\r\n2,two\r\n", ["one", "two"]),
    "no line break at the end, blank lines": ("\nid,text\n\n1,one\n   \n2,two", ["one", "two"]),
    "one column": ("text\nGrüße\nzwei\n", ["Grüße", "zwei"]),
    "an index without a name": (",text\n0,one\n", ["one"]),
    "an empty cell": ("id,text\n1,\n2,two\n", ["", "two"]),
    "columns of the same name that are not wanted": ("x,text,x\n1,one,2\n", ["one"]),
    "a cell that is longer than the module's limit": ("id,text\n1," + "x" * 200_000 + "\n", ["x" * 200_000]),
}


@pytest.mark.parametrize("case", CSV_FILES)
def test_a_csv_file_is_read_as_it_stands(tmp_path: Path, case: str) -> None:
    content, expected = CSV_FILES[case]
    assert texts_of(file(tmp_path, "texts.csv", content)) == expected


def test_the_stage_freezes_what_stands_in_a_csv_file(tmp_path: Path, freeze: Freeze) -> None:
    rows = ["NA", "null", "None", "007", "Grüße; zwei"]
    path = file(tmp_path, "t[1].CSV", "\ufeffid;text\n" + "".join(f'{i};"{row}"\n' for i, row in enumerate(rows)))
    file(tmp_path, "t1.csv", "id;text\n1;the file that the name would match as a pattern\n")
    frozen = freeze({"path": str(path)}, count=5)
    assert sorted(row["text"] for row in texts.read(frozen / "calibration.jsonl")) == sorted(rows)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("id;body\n1;one\n", "has no column 'text'; its columns are id, body"),
        ("one,two\n", "has no column 'text'; its columns are one, two, as its first line has them"),
        ("id,text\n1,one, and two\n", "line 2: 3 cells, and 2 are expected for the columns id, text (separated by"),
        ("id,text\n1,one\n2\n", "line 3: 1 cells, and 2"),
        ("id,text\n1,one,\n2,two\n", "line 3: 2 cells, and 3"),
        ("id,text\n1,one\n2,two,\n", "line 3: 3 cells, and 2"),
        ("text\none,\n", "line 2: 2 cells, and 1"),
        ('id,text\n1,"one\ntwo\n3,three\n', "the record that begins on line 2 is no CSV (unexpected end of data)"),
        ('id,text\n1,one\n\n2,"one"x\n', "the record that begins on line 4 is no CSV"),
        ('id,text\n1,"a \\" b"\n', "set `quotes: false`"),
        ("text,text\none,two\n", "has the column 'text' 2 times"),
        ("\n\n", "has no line with the names of its columns"),
        ("", "is empty"),
        ("a" * 500 + "\n", "has no column 'text'; its columns are aaaa"),
    ],
)  # fmt: skip
def test_a_csv_file_that_cannot_be_read_rightly_is_refused(tmp_path: Path, content: str, expected: str) -> None:
    message = error_of(file(tmp_path, "texts.csv", content))
    assert expected in message
    assert len(message) < 500 + len(str(tmp_path))


def test_tabs_come_first_in_a_tsv_file_and_quotation_marks_may_be_characters(tmp_path: Path) -> None:
    path = file(tmp_path, "sts.TSV", 'a,text\ttext\nx\t"Hello," he said\ny\t"three\n')
    assert texts_of(path, quotes=False) == ['"Hello," he said', '"three']
    assert "set `quotes: false`" in error_of(path)


def test_a_delimiter_that_is_set(tmp_path: Path) -> None:
    path = file(tmp_path, "texts.csv", "id^text\n1^one, two\n")
    assert texts_of(path, delimiter="^") == ["one, two"]
    assert "has no column 'text'; its columns are id^text" in error_of(path)
    with pytest.raises(ValidationError):
        PathTexts(path="x.csv", delimiter=", ")


# --- Text ------------------------------------------------------------------------------------------------


def test_text_is_one_a_line(tmp_path: Path) -> None:
    path = file(tmp_path, "t.TXT", "\ufeffone\r\ntwo\u2028still two\x85and\x0ctwo\n\nNA")
    assert texts_of(path) == ["one", "two\u2028still two\x85and\x0ctwo", "", "NA"]


def test_a_byte_order_mark_is_no_text(tmp_path: Path, freeze: Freeze) -> None:
    assert texts_of(file(tmp_path, "bom.txt", "\ufeff\n")) == [""]
    with pytest.raises(FoundryError, match=r"^source mine holds no text \(1 empty\)$"):
        freeze({"path": str(tmp_path / "bom.txt")})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_other_encodings_with_their_byte_order_marks(tmp_path: Path, encoding: str) -> None:
    path = file(tmp_path, "t.txt", "Grüße\nzwei\n".encode(encoding))
    assert texts_of(path, encoding=encoding) == ["Grüße", "zwei"]
    if encoding in ("utf-16", "utf-32"):
        assert f"it begins with the byte order mark of {encoding.upper()}; set `encoding: {encoding}`" in error_of(path)
    elif encoding == "utf-8-sig":
        assert texts_of(path) == ["Grüße", "zwei"]
        assert "is not latin-1: it begins with the byte order mark of UTF-8" in error_of(path, encoding="latin-1")


def test_an_encoding_that_nobody_knows() -> None:
    with pytest.raises(ValidationError, match="unknown encoding: utf-88"):
        PathTexts(path="t.txt", encoding="utf-88")
    with pytest.raises(ValidationError, match="not a text encoding"):
        PathTexts(path="t.txt", encoding="base64")


@pytest.mark.parametrize("name", ["t.txt", "t.csv", "t.jsonl", "t.txt.gz"])
def test_a_file_that_is_not_utf8_names_the_line_and_the_setting(tmp_path: Path, name: str) -> None:
    line = '{"text": "x"}\n' if name == "t.jsonl" else "x\n"
    content = (
        "text\n" * (name == "t.csv")
        + line * 10_000
        + line.replace('"x"', '"Grüße"').replace("x\n", "Grüße\n")
        + line * 10_000
    ).encode("latin-1")
    path = file(tmp_path, name, gzip.compress(content) if name.endswith(".gz") else content)
    message = error_of(path)
    assert (
        f"{name} is not UTF-8 (line {10_002 if name == 't.csv' else 10_001}, byte 0xfc: invalid start byte)" in message
    )
    assert "set `encoding:`" in message
    assert texts_of(path, encoding="latin-1")[10_000] == "Grüße"


def test_a_file_that_ends_within_a_character(tmp_path: Path) -> None:
    assert "t.txt is not UTF-8 (line 2, " in error_of(file(tmp_path, "t.txt", "one\nü".encode()[:-1]))
    assert "u.txt is not UTF-16 (line 1, " in error_of(
        file(tmp_path, "u.txt", "one".encode("utf-16")[:-1]), encoding="utf-16"
    )


def test_what_is_no_text_file(tmp_path: Path) -> None:
    assert "line 2: holds a NUL character" in error_of(file(tmp_path, "t.txt", b"one\nt\0wo\n"))
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"
    assert "is a Git LFS pointer" in error_of(file(tmp_path, "lfs.txt", pointer))
    assert "is empty" in error_of(file(tmp_path, "empty.txt", ""))
    (tmp_path / "folder.txt").mkdir()
    assert "is a folder" in error_of(tmp_path / "folder.txt")
    assert "does not exist" in error_of(tmp_path / "nothing.txt")


# --- Endings and gzip ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.txt.gz", "007\nNA\n"),
        ("t.csv.gz", "id,text\n1,007\n2,NA\n"),
        ("T.TSV.GZ", "id\ttext\n1\t007\n2\tNA\n"),
        ("t.jsonl.gz", '{"text": "007"}\n{"text": "NA"}\n'),
        ("t.ndjson", '{"text": "007"}\n{"text": "NA"}\n'),
        ("t.JSON", '[{"text": "007"}, {"text": "NA"}]'),
    ],
)
def test_endings(tmp_path: Path, freeze: Freeze, name: str, content: str) -> None:
    path = file(tmp_path, name, gzip.compress(content.encode()) if name.lower().endswith(".gz") else content)
    frozen = freeze({"path": str(path)}, count=2)
    assert sorted(row["text"] for row in texts.read(frozen / "calibration.jsonl")) == ["007", "NA"]


def test_broken_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b"text %d\n" % i for i in range(20_000)))
    assert "cut.txt.gz is no whole gzip file" in error_of(file(tmp_path, "cut.txt.gz", whole[: len(whole) // 2]))
    damaged = whole[:2000] + bytes(200) + whole[2200:]
    assert "is no whole gzip file" in error_of(file(tmp_path, "damaged.txt.gz", damaged))
    assert "is no whole gzip file" in error_of(file(tmp_path, "plain.txt.gz", "text\n"))
    assert "rename it to other.txt.gz" in error_of(file(tmp_path, "other.txt", whole))
    assert "is empty" in error_of(file(tmp_path, "nothing.txt.gz", gzip.compress(b"")))


def test_an_unknown_ending_is_an_error(tmp_path: Path) -> None:
    message = error_of(file(tmp_path, "texts.cor", "a\n"))
    assert "its ending is none of .txt, .csv" in message
    assert "set `format:`" in message
    assert "set `format:`" in error_of(file(tmp_path, "texts.gz", "a\n"))
    assert texts_of(tmp_path / "texts.cor", format="text") == ["a"]


# --- JSON ------------------------------------------------------------------------------------------------


def test_null_is_dropped_and_counted(tmp_path: Path, freeze: Freeze, capsys: pytest.CaptureFixture[str]) -> None:
    path = file(tmp_path, "t.jsonl", '{"text": "a"}\n\n{"text": null}\n{"text": ""}\n{"text": "None"}')
    frozen = freeze({"path": str(path)}, count=2)
    assert sorted(row["text"] for row in texts.read(frozen / "calibration.jsonl")) == ["None", "a"]
    assert "mine: 2 documents; dropped 2 empty, 0 repeated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('["a"]', "'text' is a list ['a'], and a text is expected"),
        ("7", "'text' is the number 7, and a text"),
        ("1e400", "'text' is the number inf"),
        ("true", "'text' is the truth value true"),
        ('{"a": 1}', "'text' is an object {'a': 1}"),
        ('"\\ud800"', "holds half of a surrogate pair"),
        ('["' + "long " * 1000 + '"]', "'text' is a list ['long long"),
    ],
)
def test_other_values_are_refused(tmp_path: Path, value: str, expected: str) -> None:
    for name, content, place in (
        ("t.jsonl", f'{{"text": "a"}}\n\n{{"text": {value}}}\n', "t.jsonl, line 3: "),
        ("t.json", f'[{{"text": "a"}}, {{"text": {value}}}]', "t.json, item 2: "),
    ):
        message = error_of(file(tmp_path, name, content))
        assert place in message
        assert expected in message
        assert len(message) < 250 + len(str(tmp_path))
        message.encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}\n{"text": "b"\n', "line 2: is no JSON (Expecting ',' delimiter, column 13)"),
        ('{\n  "text": "a"\n}\n', "line 1: is no JSON"),
        ("text\na\n", "line 1: is no JSON"),
        ('"a"\n', "line 1: is the text 'a'; an object is expected"),
        ('["a", "b"]', "item 1: is the text 'a'; an object is expected"),
        ('[{"text": "a"},\n{"text": }]', "line 2: is no JSON array"),
        ('[{"text": "a"}]\n[{"text": "b"}]\n', "line 2: is no JSON array (Extra data"),
        ('{"text": "a"}\n{"txt": "b"}\n', "line 2 has no column 'text'; its columns are txt"),
        ("[" * 100_000, "is no JSON array (nested too deeply)"),
        ('{"a": ' * 100_000, "is no JSON (nested too deeply)"),
        ('{"text": ' + "9" * 5000 + "}", "line 1: is no JSON (Exceeds the limit"),
    ],
)
def test_json_that_is_broken_or_something_else(tmp_path: Path, content: str, message: str) -> None:
    assert message in error_of(file(tmp_path, "t.json", content))


def test_json_with_a_byte_order_mark_and_as_an_array_over_lines(tmp_path: Path) -> None:
    assert texts_of(file(tmp_path, "t.jsonl", '\ufeff{"text": "a"}\r\n{"text": "b"}')) == ["a", "b"]
    array = json.dumps([{"text": "a\nb"}, {"text": "Grüße"}], indent=2)
    assert texts_of(file(tmp_path, "t.json", "\n" + array)) == ["a\nb", "Grüße"]
    assert texts_of(file(tmp_path, "empty.json", "[]")) == []


# --- Parquet ---------------------------------------------------------------------------------------------


def write_parquet(path: Path, values: list[Any]) -> Path:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"id": list(range(len(values))), "text": values}), path)
    return path


def test_parquet(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t[1].PARQUET", ["NA", "007", None, "Grüße"] * 2000)
    assert texts_of(path) == ["NA", "007", "", "Grüße"] * 2000
    assert "has no column 'txt'; its columns are id, text" in error_of(path, column="txt")
    assert "row 1: 'id' is the number 0, and a text is expected" in error_of(path, column="id")
    lists = write_parquet(tmp_path / "lists.parquet", [["a"], None])
    assert "row 1: 'text' is a list ['a']" in error_of(lists)


@pytest.mark.parametrize("content", [b"PAR1 not really", b""])
def test_a_broken_parquet_file(tmp_path: Path, content: bytes) -> None:
    assert "cannot be read as parquet" in error_of(file(tmp_path, "t.parquet", content))


# --- The Hub ---------------------------------------------------------------------------------------------


SOURCE = {"hub": "org/name", "revision": "0" * 40}


def test_a_data_set_on_the_hub(tmp_path: Path, freeze: Freeze, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    table = datasets.Dataset.from_dict({"text": ["NA", "007", None], "score": [1.0, float("nan"), 0.5]})
    asked = []

    def load_dataset(*arguments: Any, **options: Any) -> Any:
        asked.append((*arguments, options))
        return table

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    frozen = freeze(SOURCE | {"config": "en", "split": "dev"}, count=2)
    assert sorted(row["text"] for row in texts.read(frozen / "calibration.jsonl")) == ["007", "NA"]
    assert asked == [("org/name", "en", {"split": "dev", "revision": "0" * 40})]
    with pytest.raises(
        FoundryError, match=r"^source mine: org/name has no column 'body'; its columns are text, score$"
    ):
        freeze(SOURCE | {"column": "body"})
    with pytest.raises(FoundryError, match=r"^source mine: org/name, row 1: 'score' is the number 1.0"):
        freeze(SOURCE | {"column": "score"})
    with pytest.raises(FoundryError, match=r"^task sts: org/name, row 2: 'score' is the number nan, not a number"):
        freeze(tasks={"sts": {"pairs": SOURCE, "columns": ["text", "text", "score"]}})


def test_a_data_set_that_cannot_be_had(freeze: Freeze, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    with pytest.raises(FoundryError, match=r"^source mine: the Hub cannot be reached, and data set org/name .*$"):
        freeze(SOURCE)

    def runs_code(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("Dataset scripts are no longer supported,\nbut found name.py")

    monkeypatch.setattr(datasets, "load_dataset", runs_code)
    with pytest.raises(
        FoundryError, match=r"^source mine: data set org/name .* cannot be read: .* but found name\.py$"
    ):
        freeze(SOURCE)


# --- A user's own texts, and the stage as a process ----------------------------------------------------------


def test_the_texts_of_a_user_are_read_by_their_ending(tmp_path: Path) -> None:
    assert tables.user_texts(file(tmp_path, "t.md", "\ufeffone \n\n two\u2028still two")) == [
        "one",
        "two\u2028still two",
    ]
    assert tables.user_texts(file(tmp_path, "t.csv.gz", gzip.compress(b"id;text\n1;NA\n2; \n"))) == ["NA"]
    with pytest.raises(FoundryError, match=r"t\.txt holds no text"):
        tables.user_texts(file(tmp_path, "t.txt", "\n \n"))
    with pytest.raises(FoundryError, match=r"l\.txt is not UTF-8 \(line 1,"):
        tables.user_texts(file(tmp_path, "l.txt", "größer".encode("latin-1")))


def test_the_stage_imports_no_library_for_tables_and_prints_one_line(tmp_path: Path, freeze: Freeze) -> None:
    pairs = file(tmp_path, "sts.csv", "sentence1,sentence2,score\na,b,0.5\na,c,1\n")
    freeze({"path": str(file(tmp_path, "t.json", '[{"text": "a"}]'))}, tasks={"sts": {"pairs": {"path": str(pairs)}}})
    script = (
        "import sys; from pathlib import Path; from stages import sample\n"
        "sample.main(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "print({'pandas', 'datasets', 'pyarrow', 'torch', 'numpy'} & set(sys.modules))"
    )
    arguments = [str(tmp_path / "sample.json"), str(tmp_path / "again")]
    run = subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stdout.splitlines()[-1]) == (0, "set()"), run.stderr
    assert (tmp_path / "again/tasks.json").read_bytes() == (tmp_path / "frozen/tasks.json").read_bytes()
    file(tmp_path, "t.json", '{"text": ["a"]}')
    run = subprocess.run(
        [sys.executable, "-m", "stages.sample", *arguments], cwd=ROOT, capture_output=True, text=True
    )  # fmt: skip
    assert run.returncode == 1
    assert f"source mine: {tmp_path}/t.json, line 1: 'text' is a list ['a'], and a text is expected\n" in run.stderr
    assert "Traceback" not in run.stderr


# --- Files that were made to break -----------------------------------------------------------------------


def test_a_parquet_column_that_is_there_twice(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    twice = pyarrow.Table.from_arrays([pyarrow.array(["a"]), pyarrow.array(["b"])], names=["text", "text"])
    pyarrow.parquet.write_table(twice, tmp_path / "twice.parquet")
    assert "more than one column 'text'" in error_of(tmp_path / "twice.parquet")


def test_a_name_with_a_line_break_is_refused_in_one_line(tmp_path: Path) -> None:
    path = file(tmp_path, "a\nb.csv", "text\none\n")
    with pytest.raises(FoundryError, match="has control characters in its name") as raised:
        texts_of(path)
    assert "\n" not in str(raised.value)


def test_an_encoding_that_can_write_half_a_character_is_refused(tmp_path: Path) -> None:
    path = file(tmp_path, "escaped.txt", "\\ud800\n")
    with pytest.raises(ValidationError, match="is a notation of Python's"):
        texts_of(path, encoding="raw_unicode_escape")


# --- YAML ------------------------------------------------------------------------------------------------


def test_yaml_gives_every_text_below_the_key_as_it_stands_there(tmp_path: Path) -> None:
    content = "other: [x]\ntalk:\n- - No\n  - 007\n  - 'Guten: Tag'\n- - 你好\n  -\n- 2026-01-01\n"
    path = file(tmp_path, "talk.yml", content)
    assert texts_of(path, column="talk") == ["No", "007", "Guten: Tag", "你好", "", "2026-01-01"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("other:\n- a\n", "has no key `text`; there are other"),
        ("- a\n- b\n", "a mapping is expected"),
        ("just a text\n", "a mapping is expected"),
        ("text:\n- a\n- b: c\n", "line 3: is a mapping"),
        ("text: [a\n", "is no YAML that is read here"),
        ("text: " + "[" * 2000, "is no YAML that is read here"),
        # Ten lines of aliases would be a million texts.
        ("a: &a [x, x]\ntext: [*a, *a]\n", "line 2: is no YAML that is read here (aliases are not read)"),
        ("text: [\x01]\n", "is no YAML that is read here"),
    ],
)
def test_yaml_of_another_form_is_an_error(tmp_path: Path, content: str, message: str) -> None:
    assert message in error_of(file(tmp_path, "talk.yaml", content))
