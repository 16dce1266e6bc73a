"""`backend="onnx"` and `backend="openvino"` in Sentence Transformers without optimum.

Sentence Transformers runs both through optimum, which no current transformers goes with. `install` puts functions of
its own in the place of the two by which Sentence Transformers loads a graph. Everything else stays Sentence
Transformers': tokens, prompts, pooling, similarity. A file that is not there is an error; nothing is ever exported.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers.models import Transformer
from sentence_transformers.util import load_file_path
from transformers.modeling_outputs import ModelOutput

from foundry_runtime.errors import ProviderUnavailable
from foundry_runtime.graphs import CUDA, FINISHED_OUTPUTS, Graph, OnnxGraph, OpenVinoGraph

LOADERS = ("load_onnx_model", "load_openvino_model")
# What Sentence Transformers hands on that says where a file is, by the name under which its own function takes it.
PLACE = {"token": "token", "cache_dir": "cache_folder", "revision": "revision", "local_files_only": "local_files_only"}


class GraphModule(torch.nn.Module):
    """A graph as what Sentence Transformers' Transformer takes for a model of transformers.

    `path`, `input_names`, with ONNX Runtime `session`, and with OpenVINO `request` and `ov_config` are what optimum's
    models have under these names.
    """

    dtype = torch.float32

    def __init__(self, graph: Graph, config: Any, path: Path) -> None:
        super().__init__()
        self.graph, self.config, self.path = graph, config, path
        self.input_names = graph.inputs
        # Sentence Transformers computes what stands behind the tokens itself.
        self._wanted = tuple(name for name in graph.outputs if name not in FINISHED_OUTPUTS)
        self._on_gpu = isinstance(graph, OnnxGraph) and graph.session.get_providers()[0] == CUDA
        if isinstance(graph, OnnxGraph):
            self.session = graph.session
        if isinstance(graph, OpenVinoGraph):
            self.request, self.ov_config = graph.compiled, graph.config

    def compile(self, *_: Any, **__: Any) -> None:
        """Do nothing: the graph is compiled. torch would compile what surrounds it."""

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        **_: Any,
    ) -> Any:
        """The outputs by name, in float32, for inputs (texts, tokens): those of the transformer alone.

        A ModelOutput, which the annotation does not say: Sentence Transformers asks it for its fields where nothing
        else names the output that a model has, as for a classifier without modules.json, and this class has none.
        """
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)  # a tokenizer that gives none means the first segment
        given = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "position_ids": position_ids,
        }
        tensors = {name: tensor for name, tensor in given.items() if tensor is not None}
        if self._on_gpu and input_ids.is_cuda:
            return ModelOutput(self.run_where_they_lie(tensors))
        values = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        outputs = self.graph.run(values, self._wanted)
        return ModelOutput(
            {name: torch.from_numpy(value).float().to(input_ids.device) for name, value in outputs.items()}
        )

    def run_where_they_lie(self, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """An ONNX graph's outputs by name, in float32, from inputs on its own device, between which and the processor
        nothing is copied."""
        binding = self.session.io_binding()
        inputs = {name: given[name].long().contiguous() for name in self.input_names}
        device = given["input_ids"].device
        for name, tensor in inputs.items():
            binding.bind_input(name, device.type, device.index or 0, np.int64, tuple(tensor.shape), tensor.data_ptr())
        for name in self._wanted:
            binding.bind_output(name, device.type, device.index or 0)
        if device.type == "cuda":
            torch.cuda.current_stream().synchronize()  # ONNX Runtime computes in a stream of its own
        self.session.run_with_iobinding(binding)
        outputs = (torch.from_dlpack(value.to_dlpack()) for value in binding._iobinding.get_outputs())
        return {name: value.float() for name, value in zip(self._wanted, outputs, strict=True)}


def install() -> None:
    """Serve both backends by ONNX Runtime and OpenVINO directly. May be called again.

    Raises:
        ImportError: when this version of Sentence Transformers loads graphs by other functions than those known here.
    """
    # The functions' names as the public class looks them up, wherever it is defined.
    names: dict[str, Any] = Transformer._load_model.__globals__
    if missing := [name for name in LOADERS if name not in names]:
        import sentence_transformers

        raise ImportError(
            f"sentence-transformers {sentence_transformers.__version__} has no {', '.join(missing)} where Transformer "
            "loads its model: foundry_runtime knows 5.7 to 6.2. Install one of those, or a newer foundry_runtime"
        )
    names["load_onnx_model"] = _loader("onnx", "model.onnx", _onnx_graph)
    names["load_openvino_model"] = _loader("openvino", "openvino_model.xml", _openvino_graph)


def _loader(backend: str, default_name: str, open_graph: Callable[..., Graph]) -> Callable[..., GraphModule]:
    """What takes the place of Sentence Transformers' function of this backend."""

    def load(
        model_name_or_path: str,
        config: Any,
        task_name: str,
        file_name: str = default_name,
        subfolder: str = "",
        export: bool | None = None,
        **options: Any,
    ) -> GraphModule:
        if export:
            raise ValueError(f"export=True needs optimum; without it, {backend} files are loaded and never exported")
        place = {ours: options[name] for name, ours in PLACE.items() if name in options}
        graph = _find(model_name_or_path, file_name, subfolder, backend, place)
        return GraphModule(open_graph(graph, options), config, graph)

    return load


def _find(model: str, file_name: str, subfolder: str, backend: str, place: dict[str, Any]) -> Path:
    """The graph on this machine, with its weights beside it; looked for where Sentence Transformers looks.

    Raises:
        FileNotFoundError: when it is in neither place.
    """
    for folder in (subfolder, f"{subfolder}/{backend}".strip("/")):
        if path := load_file_path(model, file_name, subfolder=folder, **place):
            weights = file_name.removesuffix(".xml") + ".bin" if backend == "openvino" else f"{file_name}_data"
            load_file_path(model, weights, subfolder=folder, **place)  # a small ONNX file has none
            return Path(path)
    raise FileNotFoundError(f"{model} has no {file_name}, also not in {backend}/")


def _onnx_graph(path: Path, options: dict[str, Any]) -> Graph:
    """By the provider that is asked for, else by the best that is installed, as Sentence Transformers does."""
    import onnxruntime

    installed = [name for name in onnxruntime.get_available_providers() if name != "AzureExecutionProvider"]
    provider = options.get("provider") or installed[0]  # Azure's asks a server, and runs no graph of its own
    provider_options = options.get("provider_options") or {}
    try:
        return OnnxGraph(path, [(provider, provider_options)], options.get("session_options"))
    except ProviderUnavailable:
        if options.get("provider"):
            raise
        return OnnxGraph(path, session_options=options.get("session_options"))


def _openvino_graph(path: Path, options: dict[str, Any]) -> Graph:
    """On the device and with the settings that are asked for."""
    return OpenVinoGraph(path, options.get("ov_config"), str(options.get("device") or "CPU").upper())
