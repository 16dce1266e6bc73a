"""benchmark: ratios within a round, so that a machine that slows down does not change them."""

import time
from collections.abc import Callable
from pathlib import Path

from stages import benchmark, host
from stages.shared import files, models
from tests.conftest import TINY_VARIANTS


def test_drift_hits_all_alike() -> None:
    baseline = [1.0, 2.0, 4.0, 1.0, 8.0]  # the machine slows down and recovers
    twice_as_fast = [value / 2 for value in baseline]
    speed = benchmark.summarize(100, twice_as_fast, baseline)
    assert (speed["ratio"], speed["ratio_low"], speed["ratio_high"]) == (2.0, 2.0, 2.0)
    assert speed["texts_per_second"] == 100.0


def test_an_outlier_does_not_move_the_ratio() -> None:
    speed = benchmark.summarize(10, [1.0, 1.0, 30.0, 1.0, 1.0], [2.0] * 5)
    assert speed["ratio"] == 2.0
    assert speed["ratio_low"] < 0.1


class Sleeper:
    def __init__(self, seconds: float) -> None:
        self.seconds, self.calls = seconds, 0

    def encode(self, texts: list[str], **options: object) -> None:
        self.calls += 1
        time.sleep(self.seconds * len(texts))


def test_every_variant_is_measured_in_every_round() -> None:
    loaded = {"torch": Sleeper(0.002), "onnx": Sleeper(0.001)}
    seconds = benchmark.time_rounds(loaded, {"short": ["a"] * 4, "long": ["b"] * 2}, batch_size=8, rounds=3)
    assert {group: {name: len(times) for name, times in by.items()} for group, by in seconds.items()} == {
        "short": {"torch": 3, "onnx": 3},
        "long": {"torch": 3, "onnx": 3},
    }
    assert loaded["torch"].calls == loaded["onnx"].calls == 12  # a warm-up before each


def test_measured_on_the_tiny_model(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    root = project()
    host.main(root / "host.json")
    name = files.read_json(root / "host.json")["host"]
    folder = tmp_path / "models"
    for variant in TINY_VARIANTS:
        (folder / variant).parent.mkdir(exist_ok=True)
        (folder / variant).symlink_to(tiny / variant)
    (folder / "onnx_O2").unlink()
    models.skip(folder / "onnx_O2", "onnx_O2", "no such fusion")
    (root / "out").mkdir()
    (root / "out/another-host.json").write_text("{}")
    benchmark.main("tiny", folder, tiny.parent.parent / "texts/benchmark.jsonl", root / "host.json", root / "out")
    result = files.read_json(root / f"out/{name}.json")
    assert set(result["variants"]) == set(TINY_VARIANTS) - {"onnx_O2"}
    for record in result["variants"].values():
        assert set(record["speed"]) == {"short", "long"}
        assert all(speed["texts_per_second"] > 0 for speed in record["speed"].values())
    assert result["variants"]["torch"]["speed"]["short"]["ratio"] == 1.0
    assert (root / "out/another-host.json").exists()


def test_the_host_profile_is_the_same_twice_and_names_the_toolchain(tmp_path: Path) -> None:
    host.main(tmp_path / "a.json")
    host.main(tmp_path / "b.json")
    assert files.sha256(tmp_path / "a.json") == files.sha256(tmp_path / "b.json")
    facts = files.read_json(tmp_path / "a.json")
    assert facts["libraries"]["onnxruntime"]
    assert facts["cores"] >= 1


def test_another_toolchain_is_another_host() -> None:
    facts = host.profile()
    other = {**facts, "libraries": {**facts["libraries"], "onnxruntime": "0.0"}}
    assert host.key(facts) != host.key(other)
