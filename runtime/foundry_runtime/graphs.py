"""Graphs that are ready to run: one interface for ONNX Runtime and OpenVINO, which several threads may use at once."""

import contextlib
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from foundry_runtime import machine, mapped_weights
from foundry_runtime.errors import ProviderUnavailable

Provider = str | tuple[str, dict[str, Any]]
ON_CPU: tuple[list[Provider], ...] = (["CPUExecutionProvider"], [("CPUExecutionProvider", {})])
WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
# OpenVINO computes in bf16 where the processor can, unless it is told otherwise.
FULL_PRECISION = {"INFERENCE_PRECISION_HINT": "f32"}
# Keeps attention's products and softmax apart, which OpenVINO otherwise fuses into one: that takes long for each head
# of each text, however few its tokens are. It is not documented, so another version may not know it.
UNFUSED_ATTENTION = {"SNIPPETS_MODE": "DISABLE"}
UNFUSED_UP_TO = 64  # tokens of a text, where that is faster: on AMX in bf16, and on AVX-512 with products of int8
# Of graphs that end at the embedding, or at a vector for each token.
FINISHED_OUTPUTS = ("sentence_embedding", "sparse_embedding", "scores", "token_embeddings")

ERRORS = 3  # of ONNX Runtime's log levels
CUDA = "CUDAExecutionProvider"  # runs a graph on an NVIDIA GPU


class FirstAlone:
    """Lets the first who comes go through alone, and then anybody at once.

    The first inference by OpenVINO in a process prepares something of its Python binding, for which it lets go of the
    interpreter's lock. Another thread that begins its own meanwhile keeps that lock and waits for the first one: both
    wait for ever.
    """

    def __init__(self) -> None:
        self._lock, self._is_through = threading.Lock(), False

    @contextlib.contextmanager
    def pass_through(self) -> Iterator[None]:
        """A context for what the first does alone."""
        with contextlib.nullcontext() if self._is_through else self._lock:
            yield
            self._is_through = True


_inference = FirstAlone()


class MissingInput(ValueError):
    """A graph asks for an input that was not given."""


class Graph(Protocol):
    """A loaded graph. `inputs` and `outputs` are names; `outputs` are in the order of the file.

    `is_aligned` says whether it computes batches better whose numbers of tokens and rows are multiples of a few.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    is_aligned: bool

    def run(self, values: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Outputs by name, all where none are named, for input arrays (texts, tokens) of int64.

        What the graph does not take is left out.

        Raises:
            MissingInput: when the graph takes what `values` does not have.
        """
        ...


class OnnxGraph:
    """A graph that ONNX Runtime runs."""

    is_aligned = False

    def __init__(
        self,
        path: Path,
        providers: Sequence[Provider] = ("CPUExecutionProvider",),
        session_options: Any = None,
        threads: int | None = None,
    ) -> None:
        """Load a graph; one run uses `threads` threads, by default one for each core.

        On a CPU its weights stay in the file, which must not change as long as the graph is used.

        Raises:
            ProviderUnavailable: when ONNX Runtime leaves the graph to another provider than the first that is asked
                for, as it does without an error where CUDA's libraries are missing.
        """
        import onnxruntime

        options = session_options or onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        session = None
        if session_options is None and list(providers) in ON_CPU:
            session = _mapped_session(path, options)
        if _name_of(providers[0]) == CUDA:
            onnxruntime.preload_dlls()  # CUDA's libraries, where they are Python packages
            if session_options is None:
                options.log_severity_level = (
                    ERRORS  # or it warns of nodes on the processor, where those of shapes belong
                )
        self.session = session or onnxruntime.InferenceSession(str(path), options, providers=list(providers))
        if (wanted := _name_of(providers[0])) not in self.session.get_providers():
            raise ProviderUnavailable(
                f"{wanted} cannot be used here: ONNX Runtime has {', '.join(self.session.get_providers())} for {path}"
            )
        self.inputs = tuple(node.name for node in self.session.get_inputs())
        self.outputs = tuple(node.name for node in self.session.get_outputs())

    def run(self, values: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """See `Graph.run`."""
        names = self.outputs if outputs is None else tuple(outputs)
        arrays = self.session.run(list(names), _taken(self.inputs, values))
        return dict(zip(names, arrays, strict=True))


def _name_of(provider: Provider) -> str:
    """The name of a provider, with or without options."""
    return provider if isinstance(provider, str) else provider[0]


def _mapped_session(path: Path, options: Any) -> Any:
    """A session on the CPU whose weights stay in the file; None where that cannot be.

    Why not, ONNX Runtime says best, once it is given the file by its name.
    """
    import onnxruntime

    try:
        real = path.resolve()  # the Hub's cache holds links, out of whose folder ONNX Runtime maps nothing
        model = mapped_weights.without_weights(real)
        options.add_session_config_entry(WEIGHTS_FOLDER, str(real.parent))
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001  # of its own kinds, which have no common class
        return None


class OpenVinoGraph:
    """A graph that OpenVINO runs; in fp32 unless `config` says otherwise."""

    def __init__(
        self,
        path: Path,
        config: Mapping[str, Any] | None = None,
        device: str = "CPU",
        threads: int | None = None,
        streams: int = 1,
        weights: Path | None = None,
        for_many: bool = False,
    ) -> None:
        """Compile a graph for so many runs at once, each with `threads` threads, by default one for each core.

        Args:
            weights: Its `.bin` where that has another name than the graph.
            for_many: For many batches, of which those of short texts may have a compiled graph of their own. Each is
                then compiled when the first such batch comes.
        """
        import openvino

        self.config: dict[str, Any] = {**FULL_PRECISION, **(config or {})}
        if threads is not None:
            self.config |= {"INFERENCE_NUM_THREADS": threads * streams, "NUM_STREAMS": streams}
        self._core, self._device, self._streams = openvino.Core(), device, streams
        self._model = self._core.read_model(str(path), *([] if weights is None else [str(weights)]))
        # Before it is compiled: where nodes between two tensors are left out, one tensor has the names of both.
        self.inputs = tuple(_name(node) for node in self._model.inputs)
        self.outputs = tuple(_name(node) for node in self._model.outputs)
        is_in_tiles = self.config["INFERENCE_PRECISION_HINT"] == "bf16" and machine.multiplies_bf16_tiles()
        is_int8 = any(node.get_type_name() == "FakeQuantize" for node in self._model.get_ops())
        # And OpenVINO prepares products of int8 for each number of rows, for about as long as it computes them.
        self.is_aligned = is_in_tiles or (is_int8 and machine.has_avx512())
        self._unfused_up_to = UNFUSED_UP_TO if for_many and self.is_aligned else 0
        self._lock = threading.Lock()
        self._requests: dict[bool, queue.SimpleQueue[Any]] = {}  # by whether attention is fused
        self.compiled = None if self._unfused_up_to else self._compile({})
        if self.compiled is not None:
            self._requests[True] = self._requests_of(self.compiled)
            self._model = None  # nothing else is compiled

    def run(self, values: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """See `Graph.run`."""
        taken = _taken(self.inputs, values)
        requests = self._requests_for(taken)
        request = requests.get()
        try:
            with _inference.pass_through():
                results = request.infer(taken, share_inputs=True, share_outputs=True)
                # Copied, because OpenVINO writes the next batch into the same memory.
                return {
                    name: np.array(results[index])
                    for index, name in enumerate(self.outputs)
                    if outputs is None or name in outputs
                }
        finally:
            requests.put(request)

    def _requests_for(self, taken: Mapping[str, np.ndarray]) -> "queue.SimpleQueue[Any]":
        """The requests of the graph that is best for texts of so many tokens; a thread at a time uses each."""
        if not self._unfused_up_to:
            return self._requests[True]
        is_fused = max(array.shape[-1] for array in taken.values()) > self._unfused_up_to
        with self._lock:
            if is_fused not in self._requests:
                self._requests[is_fused] = self._requests_of(self._compile({}) if is_fused else self._unfused())
            return self._requests[is_fused]

    def _unfused(self) -> Any:
        """The graph with attention's products apart; as OpenVINO would have it where this version knows no such way."""
        try:
            return self._compile(UNFUSED_ATTENTION)
        except RuntimeError:
            return self._compile({})

    def _compile(self, config: Mapping[str, str]) -> Any:
        """The graph, compiled with further settings."""
        return self._core.compile_model(self._model, self._device, {**self.config, **config})

    def _requests_of(self, compiled: Any) -> "queue.SimpleQueue[Any]":
        """As many requests of a compiled graph as there are streams."""
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self._streams):
            requests.put(compiled.create_infer_request())
        return requests


def _name(node: Any) -> str:
    """The name of an input or output; of several the one that a reader would know: numbers are its exporter's."""
    return min(node.names, key=lambda name: (name.isdigit() or "/" in name, len(name), name))


def _taken(names: Sequence[str], values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    if missing := [name for name in names if name not in values]:
        raise MissingInput(f"the graph takes {', '.join(missing)}, which was not given")
    return {name: values[name] for name in names}
