"""same_outputs: equal locks pass, and a changed, missing or wholly absent output fails."""

import json
from pathlib import Path

import pytest
import yaml

from benchmarks import same_outputs


def write_lock(path: Path, hashes: dict[str, str]) -> Path:
    stages = {
        stage: {"cmd": "true", "outs": [{"path": f"artifacts/{stage}", "md5": md5}]} for stage, md5 in hashes.items()
    }
    path.write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    return path


@pytest.mark.parametrize(
    ("after", "code"),
    [
        ({"download@m": "1", "optimize@m-onnx_O1": "2", "benchmark@m": "9"}, 0),  # what is measured may differ
        ({"download@m": "1", "optimize@m-onnx_O1": "3"}, 1),
        ({"download@m": "1"}, 1),
        ({"download@m": "1", "optimize@m-onnx_O1": "2", "embed@m": "4"}, 1),
        ({}, 1),
    ],
)
def test_the_exit_code_tells_whether_every_output_is_the_same(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    after: dict[str, str],
    code: int,
) -> None:
    before = write_lock(tmp_path / "a.lock", {"download@m": "1", "optimize@m-onnx_O1": "2", "benchmark@m": "5"})
    monkeypatch.setattr("sys.argv", ["same_outputs", str(before), str(write_lock(tmp_path / "b.lock", after))])
    try:
        same_outputs.main()
        ended = 0
    except SystemExit as end:
        ended = int(str(end.code))
    assert ended == code
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"same", "differing", "missing"}


def test_both_hashes_of_what_differs_are_given() -> None:
    result = same_outputs.compare({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "4", "d": "5"})
    assert result == {
        "same": ["a"],
        "differing": {"b": {"before": "2", "after": "4"}},
        "missing": {"before": ["d"], "after": ["c"]},
    }
