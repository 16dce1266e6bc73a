"""Run a variant by foundry_runtime in a process that cannot import torch: `python -m foundry.validation.torch_free`.

Its one argument is a folder with the request of `foundry.validation.runtime`, and what it found is written there.
"""

import json
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

from foundry.variants import naming

MANY_BATCHES_OF = 4  # texts
REQUEST, INPUTS, ROWS, RESULT = "request.json", "inputs.npz", "rows.npz", "result.json"
QUERIES = "queries.npz"  # the name of foundry.reference.queries, too
# What the runtime does without. Whoever imports one of them here ends with an error.
FORBIDDEN = frozenset({"torch", "transformers", "sentence_transformers", "optimum"})


class WithoutTorch(MetaPathFinder):
    """Refuses to find the packages that the runtime does without."""

    def find_spec(self, fullname: str, *_: Any) -> None:
        if fullname.partition(".")[0] in FORBIDDEN:
            raise ImportError(f"{fullname} is not to be imported here: foundry_runtime runs without it")


def main(scratch: Path) -> None:
    sys.meta_path.insert(0, WithoutTorch())
    import numpy as np
    from foundry_runtime.errors import UnusableModel

    from foundry.loading.by_foundry_runtime import dense, rows_of

    request = json.loads((scratch / REQUEST).read_text("utf-8"))
    rows: dict[str, Any] = {}
    result: dict[str, Any] = {"refuses": None, "ids": None}
    if request["output"] is not None:
        with np.load(scratch / INPUTS) as inputs:
            rows |= graph_rows(request, dict(inputs))
    try:
        model = load(request)
        result["ids"] = model.token_ids(as_texts(request["inputs"]))
        items = as_items(request["items"])
        rows["together"] = dense(rows_of(model, items, len(items)))
        if naming.backend(request["variant"]) == "openvino":  # which may compile another graph for many batches
            rows["many batches"] = dense(rows_of(model, items, MANY_BATCHES_OF))
        if request["alone"]:
            rows["alone"] = np.vstack([dense(rows_of(model, [item], 1)) for item in as_items(request["alone"])])
        if request.get("queries"):
            write_queries(scratch, model, request["queries"])
    except UnusableModel as error:
        result["refuses"] = str(error).removeprefix(f"{request['folder']}: ").replace(request["folder"], "the model")
    np.savez(scratch / ROWS, **rows)
    (scratch / RESULT).write_text(json.dumps(result), "utf-8")


def write_queries(scratch: Path, model: Any, texts: Sequence[str]) -> None:
    """Write what the model makes of texts as queries, by its table."""
    import numpy as np

    found = model.encode_query(texts)
    arrays = {"starts": found.starts, "indices": found.indices, "values": found.values}
    np.savez(scratch / QUERIES, allow_pickle=False, weights=model.query_weights, **arrays)


def load(request: dict[str, Any]) -> Any:
    """The variant by the class of its kind, with the tokenizer's files that will be published."""
    from foundry.loading.by_foundry_runtime import open_model

    rewritten = {name: Path(path) for name, path in request["rewritten"].items()}
    variant, kind, precision, device = (request[name] for name in ("variant", "kind", "precision", "device"))
    # Two streams, so that what is compiled for many batches is tried; more would take memory.
    streams = 2 if naming.backend(variant) == "openvino" else 1
    return open_model(Path(request["folder"]), variant, kind, precision, rewritten, device, streams=streams)


def graph_rows(request: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """What the graph itself gives for the tokens that Sentence Transformers made, of the texts together and alone."""
    from foundry_runtime.graphs import Graph, OnnxGraph, OpenVinoGraph

    graph: Graph
    if request["weights"] is None:
        graph = OnnxGraph(Path(request["graph"]))
    else:
        settings = {"INFERENCE_PRECISION_HINT": request["precision"]}
        graph = OpenVinoGraph(Path(request["graph"]), settings, weights=Path(request["weights"]))
    found = {}
    for batch in sorted({name.partition(":")[0] for name in inputs}):
        values = {name.partition(":")[2]: value for name, value in inputs.items() if name.startswith(f"{batch}:")}
        found[f"graph {batch}"] = graph.run(values, [request["output"]])[request["output"]]
    return found


def as_texts(rows: Sequence[str | list[str]]) -> list[str | tuple[str, str]]:
    """Texts and pairs, which JSON has as lists."""
    return [row if isinstance(row, str) else (row[0], row[1]) for row in rows]


def as_items(rows: Sequence[Any]) -> list[Any]:
    """Items of `foundry.loading.items`, of which JSON has a query as a list."""
    from foundry.loading.items import Query

    return [row if isinstance(row, str) else Query(row[0], tuple(row[1])) for row in rows]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
