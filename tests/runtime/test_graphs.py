"""Graphs that several threads use at once, and those of short texts."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foundry_runtime import machine
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
    """A processor with these flags."""
    monkeypatch.setattr(machine, "instruction_sets", lambda: frozenset(flags))


@pytest.mark.parametrize(
    ("variant", "precision", "flags", "is_better"),
    [
        ("openvino", "bf16", ["avx512f", "amx_bf16"], True),
        ("openvino", "bf16", ["avx512f", "avx512_bf16"], False),
        ("openvino", "f32", ["avx512f", "amx_bf16"], False),
        ("openvino_qint8_quantized", "f32", ["avx512f"], True),
        ("openvino_qint8_quantized", "f32", ["avx2", "avx_vnni"], False),
    ],
)
def test_where_batches_are_aligned_and_attention_of_short_texts_is_not_fused(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, variant: str, precision: str, flags: list[str], is_better: bool
) -> None:
    with_flags(monkeypatch, *flags)
    path = variant_folder.weights_path(tiny / variant, variant)
    many = OpenVinoGraph(path, {"INFERENCE_PRECISION_HINT": precision}, for_many=True)
    assert (many._unfused_up_to > 0, many.is_aligned) == (is_better, is_better)
    assert OpenVinoGraph(path, {"INFERENCE_PRECISION_HINT": precision})._unfused_up_to == 0  # of one batch alone


class Compiling:
    """Notes what a graph is compiled with, and of what kinds its nodes then are."""

    def __init__(self, graph: OpenVinoGraph, knows_property: bool = True) -> None:
        self.compile, self.knows_property = graph._compile, knows_property
        self.kinds: list[tuple[bool, set[str]]] = []
        graph._compile = self  # type: ignore[method-assign,assignment]

    def __call__(self, config: dict[str, str]) -> Any:
        if config and not self.knows_property:
            raise RuntimeError("Unsupported property SNIPPETS_MODE by CPU plugin.")
        compiled = self.compile(config)
        nodes = compiled.get_runtime_model().get_ops()
        self.kinds.append((not config, {str(node.get_rt_info()["layerType"].value) for node in nodes}))
        return compiled


def some_texts(graph: OpenVinoGraph, tokens: int) -> dict[str, np.ndarray]:
    """Three texts of so many tokens, the last of which has one less."""
    values = {name: np.zeros((3, tokens), np.int64) for name in graph.inputs}
    values["input_ids"][:] = np.random.default_rng(tokens).integers(5, 40, (3, tokens))
    values["attention_mask"][:] = 1
    values["attention_mask"][-1, -1] = 0
    return values


def two_graphs(tiny: Path) -> tuple[OpenVinoGraph, OpenVinoGraph]:
    """The graph for one batch, and for many: texts of up to 8 tokens are short, and it computes in fp32."""
    path = variant_folder.weights_path(tiny / "openvino", "openvino")
    many = OpenVinoGraph(path, streams=2, for_many=True)
    many._unfused_up_to = 8  # which an exact graph has on no processor in fp32
    many._requests.clear()
    many._model = many._core.read_model(str(path))
    return OpenVinoGraph(path), many


@pytest.mark.parametrize("knows_property", [True, False])
def test_short_texts_have_a_graph_of_their_own_that_gives_the_same(tiny: Path, knows_property: bool) -> None:
    one, many = two_graphs(tiny)
    compiling = Compiling(many, knows_property)
    for tokens in (5, 8, 9, 5):
        values = some_texts(one, tokens)
        for name, array in one.run(values).items():
            np.testing.assert_allclose(many.run(values)[name][:2], array[:2], atol=1e-5)
    if knows_property:
        assert [is_fused for is_fused, _ in compiling.kinds] == [False, True]
        assert "Softmax" in compiling.kinds[0][1]  # a node of its own
    else:
        assert len(compiling.kinds) == 2


def test_each_graph_is_compiled_once_whatever_comes_at_once(tiny: Path) -> None:
    one, many = two_graphs(tiny)
    compiling = Compiling(many)
    at_once = threading.Barrier(4, timeout=30)

    def run(tokens: int) -> bool:
        at_once.wait()
        values = some_texts(one, tokens)
        return all(
            np.allclose(many.run(values)[name][:2], array[:2], atol=1e-5) for name, array in one.run(values).items()
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, (5, 9, 7, 12)))
    assert len(compiling.kinds) == 2
