"""Graphs that several threads use at once, and those of short texts."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foundry_runtime import graphs, machine
from foundry_runtime.graphs import FirstAlone, OpenVinoGraph

from foundry.variants import variant_folder


def test_the_first_goes_alone_and_others_at_once_afterwards() -> None:
    first_alone = FirstAlone()
    inside, most = 0, []
    lock, both = threading.Lock(), threading.Barrier(2, timeout=10)

    def go(meet: bool) -> None:
        nonlocal inside
        with first_alone.pass_through():
            with lock:
                inside += 1
                most.append(inside)
            if meet:
                both.wait()
            else:
                threading.Event().wait(0.01)
            with lock:
                inside -= 1

    def run(meet: bool) -> None:
        threads = [threading.Thread(target=go, args=(meet,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    run(meet=False)
    assert most[0] == 1
    run(meet=True)  # neither ends before the other is there
    assert max(most) == 2


def test_what_fails_first_lets_the_next_one_try() -> None:
    first_alone = FirstAlone()
    for _ in range(2):
        try:
            with first_alone.pass_through():
                raise ValueError
        except ValueError:
            pass
    with first_alone.pass_through():
        pass
    with first_alone.pass_through(), first_alone.pass_through():  # nobody is alone any more
        pass


def with_flags(monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    monkeypatch.setattr(machine, "instruction_sets", lambda: frozenset(flags))


@pytest.mark.parametrize(
    ("variant", "precision", "flags", "is_apart", "is_aligned"),
    [
        ("openvino", "bf16", ["avx512f", "amx_bf16"], True, True),
        ("openvino", "bf16", ["avx512f", "avx512_bf16"], False, False),
        ("openvino", "f32", ["avx512f", "amx_bf16"], False, False),
        ("openvino_qint8_quantized", "f32", ["avx512f"], True, True),
        ("openvino_qint8_quantized", "f32", ["avx2", "avx_vnni"], False, True),
    ],
)
def test_what_a_graph_computes_better(
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    variant: str,
    precision: str,
    flags: list[str],
    is_apart: bool,
    is_aligned: bool,
) -> None:
    with_flags(monkeypatch, *flags)
    path = variant_folder.weights_path(tiny / variant, variant)
    many = OpenVinoGraph(path, {"INFERENCE_PRECISION_HINT": precision}, for_many=True)
    assert (many._apart_up_to > 0, many.is_aligned) == (is_apart, is_aligned)
    assert OpenVinoGraph(path, {"INFERENCE_PRECISION_HINT": precision})._apart_up_to == 0  # of one batch alone


def test_texts_of_all_lengths_give_what_one_graph_gives(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_flags(monkeypatch, "avx512f")
    monkeypatch.setattr(graphs, "APART_UP_TO", 8)
    variant = "openvino_qint8_quantized"
    path = variant_folder.weights_path(tiny / variant, variant)
    one, many = OpenVinoGraph(path), OpenVinoGraph(path, streams=2, for_many=True)
    kernels: dict[bool, set[str]] = {}
    compile_graph = many._compile
    many._compile = lambda further: kernels_noted(compile_graph(further), bool(further), kernels)  # type: ignore[method-assign]
    for tokens in (5, 8, 9, 5):
        values = {name: np.ones((3, tokens), np.int64) for name in one.inputs}
        expected, found = one.run(values), many.run(values)
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, atol=1e-5)
    # Each was compiled once, and only that of longer texts has what OpenVINO fuses attention into.
    assert "Subgraph" in kernels[False]
    assert "Subgraph" not in kernels[True]


def kernels_noted(compiled: Any, is_apart: bool, kernels: dict[bool, set[str]]) -> Any:
    assert is_apart not in kernels
    nodes = compiled.get_runtime_model().get_ops()
    kernels[is_apart] = {str(node.get_rt_info()["layerType"].value) for node in nodes}
    return compiled
