"""Threads, streams and tokens of a batch: the rule, what was measured on a machine like this, and what is asked for."""

from pathlib import Path
from typing import Any

import pytest
from foundry_runtime import Embedder, UnusableModel, machine, run_settings
from foundry_runtime.run_settings import Layout, RunSettings

from tests.support import graph_models

MANY = {"threads": 4, "streams": 2, "batch_tokens": 256}
SETTINGS = {
    "cores": 4,
    "latency": {"short": {"single_threads": 1}, "medium": {"single_threads": 2}, "long": {"single_threads": 4}},
    "throughput": {"short": {**MANY, "streams": 4}, "medium": MANY, "long": {**MANY, "batch_tokens": 1024}},
}
MEASURED = RunSettings(threads=4, streams=2, single_threads=2, batch_tokens=256)
RULE = RunSettings(threads=4, streams=4, single_threads=4, batch_tokens=512)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A published folder with measured settings, on the machine that measured."""
    monkeypatch.setattr(machine, "architecture", lambda: "x86_64")
    monkeypatch.setattr(machine, "instruction_sets", lambda: frozenset({"avx2"}))
    monkeypatch.setattr(machine, "threads", lambda: 4)
    return publish(graph_models.make_published(tmp_path / "model"), SETTINGS)


def publish(folder: Path, settings: Any) -> Path:
    graph_models.record(folder, onnx={"ways": {"f32": {"settings": settings}}})
    return folder


def test_what_was_measured_on_a_machine_like_this_is_the_default(folder: Path) -> None:
    embedder = Embedder(folder)
    assert embedder.run_settings == MEASURED
    assert Embedder(folder, "onnx").run_settings == MEASURED  # also where the file is named
    assert embedder.encode(["a text", "another"] * 50).shape == (100, graph_models.WIDTH)


@pytest.mark.parametrize("difference", ["cores", "family", "architecture", "precision"])
def test_and_nowhere_else(folder: Path, monkeypatch: pytest.MonkeyPatch, difference: str) -> None:
    flags = {"family": {"avx2", "avx512_vnni"}, "precision": {"avx2", "avx512_bf16"}}.get(difference, {"avx2"})
    monkeypatch.setattr(machine, "instruction_sets", lambda: frozenset(flags))
    if difference == "architecture":
        monkeypatch.setattr(machine, "architecture", lambda: "arm64")
    cores = 8 if difference == "cores" else 4
    monkeypatch.setattr(machine, "threads", lambda: cores)
    assert Embedder(folder).run_settings == RunSettings(cores, cores, cores, 512)


def test_arguments_override_it(folder: Path) -> None:
    assert Embedder(folder, batch_tokens=64).run_settings == RunSettings(4, 2, 2, 64)
    assert Embedder(folder, single_threads=1).run_settings == RunSettings(4, 2, 1, 256)
    assert Embedder(folder, streams=1).run_settings == RunSettings(4, 1, 4, 256)  # threads and streams go together
    assert Embedder(folder, threads=3).run_settings == RunSettings(3, 3, 3, 256)
    for name in ("threads", "streams", "single_threads", "batch_tokens"):
        with pytest.raises(ValueError, match=f"{name} is 0, must be at least 1"):
            Embedder(folder, **{name: 0})  # type: ignore[arg-type]


def test_without_measured_settings_the_rule_holds(folder: Path) -> None:
    assert Embedder(publish(folder, None)).run_settings == RULE
    assert Embedder(publish(folder, {"cores": 4})).run_settings == RULE
    graph_models.record(folder)
    assert Embedder(folder).run_settings == RULE


def test_of_other_lengths_the_middle_one_counts(folder: Path) -> None:
    lengths = {"a": {"single_threads": 1}, "b": {"single_threads": 3}, "c": {"single_threads": 2}}
    assert Embedder(publish(folder, {"cores": 4, "latency": lengths})).run_settings.single_threads == 3


@pytest.mark.parametrize("value", [0, -1, 5, 2.5, "2", True, None, [1]])
def test_a_number_that_cannot_be_one_is_an_error(folder: Path, value: Any) -> None:
    publish(folder, {**SETTINGS, "throughput": {"medium": {**MANY, "streams": value}}})
    with pytest.raises(UnusableModel, match=r"settings of onnx in f32 have streams .*, must be a whole number"):
        Embedder(folder)


@pytest.mark.parametrize("settings", [[], "fast", {"cores": 4, "latency": [1]}, {"cores": 4, "latency": {"short": 1}}])
def test_so_is_another_form(folder: Path, settings: Any) -> None:
    with pytest.raises(UnusableModel, match="the settings of onnx in f32"):
        Embedder(publish(folder, settings))


def test_what_a_setting_loads() -> None:
    assert MEASURED.single == Layout(threads=2, runs=2)
    assert MEASURED.many("openvino") == Layout(threads=2, runs=2)  # the same: the file is loaded once
    assert MEASURED.many("onnx") == Layout(threads=3, runs=2)
    assert RULE.single == Layout(threads=4, runs=1)
    assert RULE.many("openvino") == RULE.many("onnx") == Layout(threads=1, runs=4)
    assert run_settings.choose({}, threads=2, streams=8).many("openvino") == Layout(threads=1, runs=8)


def test_a_file_is_loaded_once_where_one_layout_serves_both(folder: Path) -> None:
    once = Embedder(folder, threads=4, streams=4, single_threads=1)
    once.encode(["a text"] * 600)
    assert once._streams._many is once._streams.single
    twice = Embedder(folder, threads=4, streams=4)
    twice.encode(["a text"] * 600)
    assert twice._streams._many is not twice._streams.single


def test_batches_have_the_tokens_that_are_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = Embedder(folder, threads=1, batch_tokens=32)
    sizes: list[int] = []
    pad = embedder._tokens.pad
    monkeypatch.setattr(
        embedder._tokens, "pad", lambda encoded, *rest: sizes.append(len(encoded)) or pad(encoded, *rest)
    )
    tokens = len(embedder.token_ids(["a text"])[0])
    embedder.encode(["a text"] * 64)
    assert set(sizes) == {32 // tokens}
