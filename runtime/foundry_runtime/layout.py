"""What the folder of a Sentence Transformers model says: its kind, its modules, its settings, its longest input."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foundry_runtime import activations, pair_template
from foundry_runtime.errors import FileChanged, UnusableModel
from foundry_runtime.folder import ModelFolder
from foundry_runtime.pair_template import PairTemplate
from foundry_runtime.router import Sides, class_name, read_sides

KINDS = ("SentenceTransformer", "SparseEncoder", "CrossEncoder", "MultiVectorEncoder")
# Of these, Sentence Transformers reads the first that is there.
SETTINGS_NAMES = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
# What of these settings is known here, or changes nothing of what a graph computes.
KNOWN_SETTINGS = {
    "max_seq_length", "do_lower_case", "transformer_task", "modality_config", "module_output_name", "unpad_inputs",
    "model_args", "model_kwargs", "config_args", "config_kwargs", "processor_kwargs", "tokenizer_args",
}  # fmt: skip
# What else is known of a MultiVectorEncoder's: of no other kind does anything heed them here.
TOKEN_SETTINGS = {"query_length", "document_length", "query_expansion"}
NO_LIMIT = 10**9
TASKS = ("feature-extraction", "fill-mask", "sequence-classification", "text-generation")
# What the modules call a graph's output, where it is no vector for each token: what a classifier's own head gives are
# the scores already.
GIVEN = {"sequence-classification": "scores", "text-generation": "causal_logits"}


@dataclass(frozen=True)
class Layout:
    """A model's folder, read once."""

    kind: str  # one of KINDS
    task: str  # which head is on the transformer, in Sentence Transformers' words
    transformer: str  # where the transformer stands in the folder: "" or "0_Transformer"
    modules: list[Mapping[str, Any]]  # the rows of modules.json behind the transformer; with a Router, of documents
    settings: Mapping[str, Any]  # Sentence Transformers' of the transformer
    unknown_settings: tuple[str, ...]  # of these, the ones that may change the tokens in a way that is not known here
    config: Mapping[str, Any]  # the transformer's config.json
    tokenizer_config: Mapping[str, Any]
    model_settings: Mapping[str, Any]  # config_sentence_transformers.json: prompts, similarity
    sides: Sides | None = None  # with a Router, what queries and documents go through
    template: PairTemplate | None = None  # around a pair, where the model reads pairs as messages

    @property
    def max_seq_length(self) -> int | None:
        """The number of tokens after which Sentence Transformers truncates; None without any limit."""
        arguments = self.settings.get("processor_kwargs") or self.settings.get("tokenizer_args") or {}
        for limit in (arguments.get("model_max_length"), self.settings.get("max_seq_length")):
            if limit is not None:
                return int(limit)
        limits = [
            self.tokenizer_config.get("model_max_length", self.tokenizer_config.get("max_len")),
            self.config.get("max_position_embeddings"),
        ]
        # XLNet writes -1 for its positions, and transformers a number with thirty zeros for no limit.
        return min((int(limit) for limit in limits if limit is not None and 0 < limit < NO_LIMIT), default=None)

    @property
    def num_labels(self) -> int:
        """How many scores a CrossEncoder gives for a pair."""
        if self.task == "text-generation":
            return 1  # what is made of the logits of a token or two
        labels = self.config.get("id2label")
        return len(labels) if labels else int(self.config.get("num_labels", 2))

    @property
    def score_activation(self) -> str:
        """What a CrossEncoder makes of its scores, by the name in `activations.FUNCTIONS`.

        Raises:
            UnusableModel: when it is not computed here.
        """
        names = (
            self.model_settings.get("activation_fn"),
            (self.config.get("sentence_transformers") or {}).get("activation_fn"),
            self.config.get("sbert_ce_default_activation_function"),
        )
        name = next((name for name in names if name is not None), None)
        return activations.name_of(name, "Sigmoid" if self.num_labels == 1 else "Identity")


def join(folder: str, name: str) -> str:
    """The name of a file in a folder of the model, which is "" for the model's own."""
    return f"{folder}/{name}" if folder else name


def read_layout(folder: ModelFolder) -> Layout:
    """Read what a folder says of its model.

    Raises:
        UnusableModel: when it is no model of Sentence Transformers.
    """
    model_settings = folder.settings("config_sentence_transformers.json")
    rows = folder.json("modules.json")
    if rows is None:
        rows = _bare_cross_encoder(folder)
    if not isinstance(rows, list) or not rows or any("type" not in row or "path" not in row for row in rows):
        raise UnusableModel(f"{folder.name}: modules.json is no list of modules, each with a path and a type")
    sides = _read_sides(folder, rows)
    if sides is not None:
        rows = sides.document
    first = str(rows[0]["type"])
    if first.rpartition(".")[2] not in ("Transformer", "MLMTransformer"):
        raise UnusableModel(f"{folder.name}: the first module is a {first}, and only a Transformer has a graph")
    if first != "Transformer" and not first.startswith("sentence_transformers."):
        raise UnusableModel(f"{folder.name}: the first module is a {first}, which is code of the model's own")
    transformer = str(rows[0]["path"])
    settings, unknown = _transformer_settings(folder, transformer) if first != "Transformer" else ({}, ())
    kind = _kind(folder, model_settings, rows)
    if kind == "MultiVectorEncoder":
        unknown = tuple(name for name in unknown if name not in TOKEN_SETTINGS)
    default = "sequence-classification" if kind == "CrossEncoder" else "feature-extraction"
    task = settings.get("transformer_task") or ("fill-mask" if first.endswith("MLMTransformer") else default)
    if sides is not None and kind in ("CrossEncoder", "MultiVectorEncoder"):
        raise UnusableModel(f"{folder.name} is a {kind} with a Router, which is not run here")
    if task not in TASKS:
        raise UnusableModel(f"{folder.name} is a model for {task}; what is run here is {', '.join(TASKS)}")
    template = _template(folder, transformer, settings) if kind == "CrossEncoder" else None
    if template is None and any("message" in name for name in settings.get("modality_config") or {}):
        unknown = (*unknown, "modality_config of messages")
    return Layout(
        kind=kind,
        task=task,
        transformer=transformer,
        modules=rows[1:],
        settings=settings,
        unknown_settings=unknown,
        config=folder.settings(join(transformer, "config.json")),
        tokenizer_config=folder.settings(join(transformer, "tokenizer_config.json")),
        model_settings=model_settings,
        sides=sides,
        template=template,
    )


def _read_sides(folder: ModelFolder, rows: list[Mapping[str, Any]]) -> Sides | None:
    """What queries and documents go through in a model with a Router: one graph, and for queries perhaps a table.

    Raises:
        UnusableModel: when queries have a transformer of their own, or a table and more.
    """
    try:
        sides = read_sides(rows, folder.settings)
    except FileChanged:
        raise
    except UnusableModel as error:
        raise UnusableModel(f"{folder.name}: {error}") from error
    if sides is None:
        return None
    if sides.query_table is not None:
        if len(sides.query) > 1 or not str(sides.query[0]["type"]).startswith("sentence_transformers."):
            raise UnusableModel(f"{folder.name} looks queries up in a table with more around it, which is not run here")
    elif sides.query[0] != sides.document[0]:
        raise UnusableModel(
            f"{folder.name} has a {class_name(sides.query[0])} for queries and another {class_name(sides.document[0])} "
            "for documents; what is run here is one transformer for both, or a table for queries"
        )
    return sides


def _template(folder: ModelFolder, transformer: str, settings: Mapping[str, Any]) -> PairTemplate | None:
    """What stands around a pair of a model that reads messages; None for another one, or one without such a file."""
    value = folder.json(join(transformer, pair_template.NAME))
    if value is None or "message" not in (settings.get("modality_config") or {}):
        return None
    try:
        return pair_template.read(value)
    except ValueError as error:
        raise UnusableModel(f"{folder.name}: {error}") from None


def _kind(folder: ModelFolder, model_settings: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> str:
    named = model_settings.get("model_type")
    if named is not None and named not in KINDS:
        raise UnusableModel(f"{folder.name} is a {named}; what is run here is {', '.join(KINDS)}")
    if named is not None:
        return str(named)
    if rows[0]["type"] == "Transformer":
        return "CrossEncoder"
    return "SparseEncoder" if any(row["type"].endswith("SpladePooling") for row in rows) else "SentenceTransformer"


def _bare_cross_encoder(folder: ModelFolder) -> list[dict[str, str]]:
    """A classifier of transformers alone, which CrossEncoder loads without any modules.json."""
    architectures = folder.settings("config.json").get("architectures") or ()
    if not any(name.endswith("ForSequenceClassification") for name in architectures):
        raise UnusableModel(f"{folder.name} has no modules.json: it is no model of Sentence Transformers")
    return [{"path": "", "type": "Transformer"}]


def _transformer_settings(folder: ModelFolder, transformer: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Sentence Transformers' settings of the transformer, and which of them are not known here."""
    names = (join(transformer, f"sentence_{name}_config.json") for name in SETTINGS_NAMES)
    settings = next((value for name in names if (value := folder.settings(name))), {})
    unknown = [key for key, value in settings.items() if key not in KNOWN_SETTINGS and value]
    arguments = settings.get("processor_kwargs") or settings.get("tokenizer_args") or {}
    unknown += [key for key in arguments if key not in ("model_max_length", "trust_remote_code")]
    return settings, tuple(unknown)
