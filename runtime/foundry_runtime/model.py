"""What all embedders and a reranker have in common: loading a file, tokens, batches, order."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from foundry_runtime import batches, choice, run_settings
from foundry_runtime import layout as model_layout
from foundry_runtime.errors import FileChanged, UnusableModel, UsedAfterFork
from foundry_runtime.folder import ModelFolder, open_folder
from foundry_runtime.graphs import CUDA, Graph, OnnxGraph, OpenVinoGraph
from foundry_runtime.head import Head, Values, read_head
from foundry_runtime.progress import Progress
from foundry_runtime.query_table import QueryTable
from foundry_runtime.router import Role
from foundry_runtime.run_settings import Layout
from foundry_runtime.streams import OpenGraph, Streams
from foundry_runtime.tokens import Encoded, Text, Tokens

# So many texts are tokenized and sorted together, while those before them are computed: the first are soon at work, and
# a million do not all lie in memory as tokens.
TEXTS_AT_ONCE = 1024
CLASSES = {
    "SentenceTransformer": "Embedder", "SparseEncoder": "SparseEmbedder", "CrossEncoder": "Reranker",
    "MultiVectorEncoder": "MultiVectorEmbedder",
}  # fmt: skip
# The outputs that hold a vector for each token, or for a CrossEncoder what its head gives, the first that there is.
TOKEN_OUTPUTS = ("last_hidden_state", "token_embeddings", "logits")
Rows = tuple[list[int], Any]  # the places of texts, and a row for each


class Batch(NamedTuple):
    """What goes through the graph at once."""

    places: list[int]  # of the texts among all
    encoded: list[Encoded]


class Reader(Protocol):
    """What makes tokens of texts, and batches of tokens: `Tokens`, or what changes what that gives."""

    def encode(self, texts: Sequence[Text]) -> list[Encoded]: ...

    def padded(self, tokens: int, is_aligned: bool) -> int: ...

    def pad(self, encoded: Sequence[Encoded], is_aligned: bool) -> dict[str, np.ndarray]: ...


class Model:
    """A published model, one of its files loaded.

    Args:
        model: The folder, or the name of a repository on the Hub (with the extra `hub`).
        variant: Which file; by default the one that foundry.json recommends for a machine like this.
        precision: What OpenVINO computes in, `f32`, `bf16` or `f16`, or ONNX Runtime on a GPU, `f32` or `tf32`; by
            default what is recommended with the file, else f32. Only what the file was validated in is taken.
        device: `cpu`, or `cuda` for an NVIDIA GPU, where only what was validated on one is run.
        threads: Of all streams together. By default, and so the next three, what foundry.json says was fastest on a
            machine like this; without it one for each core that this process may use, or as many as its container's
            quota.
        streams: How many batches run at once where there are many; else one for each thread, on a GPU one. With 1, the
            file is loaded once and memory is least.
        single_threads: Of one batch alone, such as a single text; else `threads`. With fewer, so many callers in
            threads of their own are served at once as fit into `threads`.
        batch_tokens: How many tokens a batch has, padding counted; else 512, on a GPU 32,768.
        max_seq_length: Tokens after which a text is cut, where it is to be less than the model's own.
        prompts: Further prompts by name, or others than the model's own.
        default_prompt_name: The prompt of `encode` and `predict`, where it is to be another one than the model's own.
        verify: Whether every file that is read must be the one that foundry.json names by its hash. With False any
            folder of Sentence Transformers will do, and `variant` must be named.
        revision: The commit, branch or tag on the Hub, as `token` and `cache_dir` are what huggingface_hub takes.

    Raises:
        FileChanged: when a file is not the one that was published.
        UnusableModel: when the model cannot be run here as Sentence Transformers would.
    """

    kind: ClassVar[str]
    _output: ClassVar[str]  # what the modules give that this kind is about
    _finished_output: ClassVar[str | None]  # a graph's output that is just that, where it is taken
    _default_prompts: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        model: str | Path | ModelFolder,
        variant: str | None = None,
        *,
        precision: str | None = None,
        device: str = "cpu",
        threads: int | None = None,
        streams: int | None = None,
        single_threads: int | None = None,
        batch_tokens: int | None = None,
        max_seq_length: int | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        verify: bool = True,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        folder = model if isinstance(model, ModelFolder) else open_folder(model, verify, revision, token, cache_dir)
        self.name, self._record = folder.name, folder.record
        self._layout = layout = model_layout.read_layout(folder)
        if layout.kind != self.kind:
            raise UnusableModel(f"{folder.name} is a {layout.kind}: load it with {CLASSES[layout.kind]}")
        if layout.unknown_settings:
            raise UnusableModel(
                f"{folder.name}: its settings have {', '.join(layout.unknown_settings)}, which is not known here"
            )
        chosen = choice.choose(folder, variant, precision, layout.transformer, device)
        self.variant, self.precision, self.device = chosen.variant, chosen.precision, device
        self._tokens = Tokens(folder, layout, max_seq_length)
        self._head = read_head(folder, layout.modules, layout.kind)
        self._query_head = self._head
        sides = layout.sides
        self._query_table = _query_table(folder, layout)
        if sides is not None and self._query_table is None and sides.query != sides.document:
            self._query_head = read_head(folder, sides.query[1:])
        self.run_settings = settings = run_settings.choose(
            chosen.measured, threads, streams, single_threads, batch_tokens, device
        )
        saved = layout.model_settings
        # A graph cannot give what it cuts off an embedding, and does not know where a prompt ends.
        heads = (self._head, self._query_head)
        is_whole = saved.get("truncate_dim") is None and not any(head.without_prompt for head in heads)
        # Nor which of two heads a text is for.
        is_whole = is_whole and self._head is self._query_head
        may_be_finished = self._finished_output is not None and is_whole
        layouts = settings.single, settings.many(chosen.runtime)
        self._streams = Streams(_opener(folder, chosen, may_be_finished, device), *layouts)
        self._is_aligned = self._streams.single.is_aligned
        outputs = self._streams.single.outputs
        # Other exporters give the transformer's own vectors this name; a finished output stands beside those.
        is_ambiguous = self._finished_output in TOKEN_OUTPUTS and chosen.finished == chosen.graph
        has_finished = self._finished_output in outputs and not (
            is_ambiguous and len(set(outputs) & set(TOKEN_OUTPUTS)) < 2
        )
        self._is_finished = may_be_finished and has_finished
        self._outputs = (str(self._finished_output),) if self._is_finished else self._token_output(folder.name, outputs)
        self.prompts = {**self._default_prompts, **(saved.get("prompts") or {}), **(prompts or {})}
        self.default_prompt_name = default_prompt_name or saved.get("default_prompt_name")
        self._process = os.getpid()

    @property
    def max_seq_length(self) -> int | None:
        """The number of tokens after which a text is cut; None without any limit."""
        return self._tokens.max_seq_length

    def token_ids(self, texts: Sequence[Text]) -> list[list[int]]:
        """What the model reads of each text or pair: the ids of its tokens, truncated."""
        return [entry.ids for entry in self._tokens.encode(list(texts))]

    def _token_output(self, name: str, outputs: Sequence[str]) -> tuple[str, ...]:
        """The output of the graph that holds a vector for each token."""
        known = [output for output in TOKEN_OUTPUTS if output in outputs]
        if not known:
            raise UnusableModel(f"{name}: {self.variant} gives {', '.join(outputs)}, none of which is known here")
        return (known[0],)

    def _prompt(self, prompt: str | None, prompt_name: str | None) -> str:
        if prompt is not None:
            return prompt
        name = prompt_name or self.default_prompt_name
        if prompt_name is not None and prompt_name not in self.prompts:
            raise ValueError(f"there is no prompt {prompt_name!r}; the model has {', '.join(self.prompts) or 'none'}")
        return self.prompts.get(name, "") if name is not None else ""

    def _with_prompt_of(self, names: Iterable[str], options: dict[str, Any]) -> dict[str, Any]:
        if options.get("prompt") is None and options.get("prompt_name") is None:
            options["prompt_name"] = next((name for name in names if name in self.prompts), None)
        return options

    def _head_of(self, role: Role | None) -> Head:
        """What follows the transformer for texts of a role."""
        return self._query_head if role == "query" else self._head

    def _rows(
        self,
        texts: Sequence[Text],
        batch_size: int | None,
        show_progress: bool,
        prompt_length: int | None = None,
        role: Role | None = None,
        reader: Reader | None = None,
    ) -> Iterator[Rows]:
        """The model's rows of all texts, batch by batch, the longest texts first: their places, and a row for each.

        `reader` makes the tokens, where they are others than the model's for any text.

        Raises:
            UsedAfterFork: in a fork of the process that loaded the model.
        """
        if os.getpid() != self._process:
            raise UsedAfterFork(
                f"{self.variant} was loaded by process {self._process}, and this is its fork {os.getpid()}, where the "
                "threads of the runtime do not exist: load the model in each process, or start processes by `spawn`"
            )
        if batch_size is not None and batch_size <= 0:
            raise ValueError(f"batch_size is {batch_size}, must be at least 1")
        progress = Progress(len(texts), show_progress)
        reader = reader or self._tokens
        work = partial(self._run_batch, prompt_length=prompt_length, role=role, reader=reader)
        for places, rows in self._streams.run(work, self._batches(texts, reader, batch_size)):
            yield places, rows
            progress.add(len(places))

    def _batches(self, texts: Sequence[Text], reader: Reader, batch_size: int | None) -> Iterator[Batch]:
        """What goes through the graph at a time; of the texts tokenized last, as many batches for each stream."""
        tokens, streams = self.run_settings.batch_tokens, self._streams.count
        for start, encoded in _encoded(texts, reader, max(TEXTS_AT_ONCE, batch_size or 0)):
            lengths = [reader.padded(len(entry), self._is_aligned) for entry in encoded]
            fits_one = len(encoded) == len(texts) and len(texts) * max(lengths) <= tokens
            is_last = start + len(encoded) == len(texts)
            at_once = streams if is_last and not fits_one else 1
            for batch in batches.cut(lengths, at_once, batch_size, tokens, self._is_aligned):
                yield Batch([start + index for index in batch], [encoded[index] for index in batch])

    def _run_batch(
        self, graph: Graph, batch: Batch, *, prompt_length: int | None, role: Role | None, reader: Reader
    ) -> Rows:
        inputs = reader.pad(batch.encoded, self._is_aligned)
        return batch.places, self._finish(graph.run(inputs, self._outputs), inputs, prompt_length, role)

    def _finish(self, outputs: Values, inputs: Values, prompt_length: int | None, role: Role | None) -> Any:
        """The model's rows of a batch, (texts, ...) in float32, from what the graph gave."""
        (given,) = outputs.values()
        if self._is_finished:
            return given.astype(np.float32, copy=False)
        name = model_layout.GIVEN.get(self._layout.task, "token_embeddings")
        values = {name: given, "attention_mask": inputs["attention_mask"]}
        if prompt_length is not None:
            values["prompt_length"] = np.array(prompt_length)
        return self._head_of(role).compute(values, self._output)


def _encoded(texts: Sequence[Text], reader: Reader, at_once: int) -> Iterator[tuple[int, list[Encoded]]]:
    """The tokens of all texts, so many texts at once, and the place of the first of them.

    The next are made while these are computed.
    """
    parts = range(0, len(texts), at_once)
    if len(parts) < 2:
        yield from ((start, reader.encode(texts)) for start in parts)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="foundry-tokens") as pool:
        coming = pool.submit(reader.encode, texts[:at_once])
        for start in parts:
            encoded, after = coming.result(), start + at_once
            if after < len(texts):
                coming = pool.submit(reader.encode, texts[after : after + at_once])
            yield start, encoded


def _query_table(folder: ModelFolder, layout: model_layout.Layout) -> QueryTable | None:
    """The table that a model looks queries up in; None where they go through its graph.

    Raises:
        UnusableModel: when the model is no sparse one.
    """
    path = layout.sides.query_table if layout.sides is not None else None
    if path is not None and layout.kind != "SparseEncoder":
        raise UnusableModel(f"{folder.name} is a {layout.kind} that looks queries up in a table of sparse weights")
    return None if path is None else QueryTable(folder, layout, path)


def _opener(folder: ModelFolder, chosen: choice.Choice, may_be_finished: bool, device: str) -> OpenGraph:
    """What loads the chosen graph, or the one that ends at the embedding, after all its files were compared with their
    hashes."""
    paths = {name: folder.path(name) for name in chosen.files}
    name = chosen.finished if may_be_finished and chosen.finished is not None else chosen.graph
    path = paths[name]
    if path is None:
        raise FileChanged(f"{folder.name}: {name} is missing")
    weights = paths.get(chosen.graph.removesuffix(".xml") + ".bin")

    def open_graph(layout: Layout, for_many: bool) -> Graph:
        if device == "cuda":
            return OnnxGraph(path, [(CUDA, {"use_tf32": str(int(chosen.precision == "tf32"))})])
        if chosen.runtime == "onnx":
            return OnnxGraph(path, threads=layout.threads)
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": chosen.precision}
        return OpenVinoGraph(path, settings, "CPU", layout.threads, layout.runs, weights, for_many)

    return open_graph


def check_texts(texts: Iterable[Any]) -> list[str]:
    """Texts as a list.

    Raises:
        TypeError: when one is no text.
    """
    listed = list(texts)
    for index, text in enumerate(listed):
        if not isinstance(text, str):
            raise TypeError(f"text {index} is of type {type(text).__name__}, must be str")
    return listed
