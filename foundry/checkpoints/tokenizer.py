"""Whether a checkpoint's tokenizer and model fit: embeddings for every id, padding, positions for every length."""

from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.checkpoints.loading import Loaded
from foundry.variants import checkpoint_folder, sides

# Names that transformers gives to tables with a row for each position.
POSITIONS = ("position_embeddings", "position_embedding", "embed_positions", "wpe")


def check(loaded: Loaded) -> None:
    """Check that the model takes whatever its tokenizer gives.

    Raises:
        FoundryError: with both sizes, when an id has no embedding; when there is no padding token.
    """
    tokenizer, transformer = sides.transformer(loaded.model).tokenizer, loaded.model.transformers_model
    if tokenizer is None:
        raise FoundryError("the checkpoint has no tokenizer: it is no model of text")
    ids = {*tokenizer.get_vocab().values(), *tokenizer.all_special_ids}
    rows = embedding_rows(transformer)
    if rows is not None and max(ids) >= rows:
        beyond = sorted(token for token, number in tokenizer.get_vocab().items() if number >= rows)
        raise FoundryError(
            f"the tokenizer gives ids up to {max(ids)} ({max(ids) + 1} entries), and the model has {rows} embeddings: "
            f"{', '.join(beyond[:3])} would be an error. Save the model after resize_token_embeddings({max(ids) + 1}), "
            "or the tokenizer without what was added"
        )
    if tokenizer.pad_token_id is None:
        raise FoundryError(
            "the tokenizer has no padding token, so that no two texts go into one batch. Set pad_token in "
            "tokenizer_config.json, to the end-of-sequence token where the model was trained so"
        )
    if "attention_mask" not in tokenizer.model_input_names:
        raise FoundryError(
            "the tokenizer gives no attention_mask (model_input_names in tokenizer_config.json), so that a text's "
            "padding counts as its tokens do, and its embedding changes with its batch. Add it"
        )
    length, special = sides.max_seq_length(loaded.model), tokenizer.num_special_tokens_to_add()
    if length is not None and length <= special:
        raise FoundryError(
            f"the model reads {length} tokens of a text, and its tokenizer adds {special} of its own: no room is left "
            "for the text. Set max_seq_length in sentence_bert_config.json"
        )
    if (table := sides.table(loaded.model)) is not None:
        check_table(table, embedding_rows(transformer))


def check_table(table: Any, vocabulary: int | None) -> None:
    """Check that the table that queries are looked up in has a weight for each id that its tokenizer gives, and as many
    as a document's embedding has numbers.

    Raises:
        FoundryError: with both sizes; when its tokenizer has no padding token.
    """
    weights = int(table.weight.shape[0])
    largest = max({*table.tokenizer.get_vocab().values(), *table.tokenizer.all_special_ids})
    if largest >= weights:
        raise FoundryError(
            f"the tokenizer of queries gives ids up to {largest}, and their table has {weights} weights: some texts "
            "would be an error. Save the table with a weight for each entry of the vocabulary"
        )
    if vocabulary is not None and weights != vocabulary:
        raise FoundryError(
            f"the table of queries has {weights} weights, and the vocabulary of documents {vocabulary} entries: their "
            "embeddings do not compare. Save the table with a weight for each entry of the vocabulary"
        )
    if table.tokenizer.pad_token_id is None:
        raise FoundryError(
            "the tokenizer of queries has no padding token, so that no two of them go into one batch. Set pad_token in "
            "its tokenizer_config.json"
        )


def check_scored(loaded: Loaded) -> None:
    """Check that the tokens which a causal reranker scores by are two tokens, and that its model knows them.

    Sentence Transformers takes `yes` and `no` for a bare language model, and gets the unknown token of a vocabulary
    without them.

    Raises:
        FoundryError: naming the tokens.
    """
    module = list(loaded.model)[-1]
    if type(module).__name__ != "LogitScore":
        return
    tokens = [module.true_token_id, module.false_token_id]
    unknown = loaded.model.tokenizer.unk_token_id
    rows = loaded.model.transformers_model.get_output_embeddings().weight.shape[0]
    if tokens[0] == tokens[1] or any(token is not None and (token >= rows or token == unknown) for token in tokens):
        raise FoundryError(
            f"the model scores by the tokens {tokens[0]} and {tokens[1]}, of {rows}, which are not two of its words. A "
            "bare language model is scored by `yes` and `no`; save it as a CrossEncoder with a LogitScore of other ones"
        )


def embedding_rows(transformer: Any) -> int | None:
    """How many ids a transformer has embeddings for; None where code of the checkpoint's own does not say it."""
    try:
        table = transformer.get_input_embeddings()
    except (NotImplementedError, AttributeError):
        return None
    weight = getattr(table, "weight", None)
    return None if weight is None else int(weight.shape[0])


def positions(transformer: Any) -> int | None:
    """How many tokens a transformer has positions for; None where it computes them.

    RoBERTa and its like count from behind the padding id: of 514 rows, 512 are for tokens.
    """
    import torch

    if transformer is None:
        return None  # a first module of the checkpoint's own, without a model of transformers
    lengths = [
        table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
        for name, table in transformer.named_modules()
        if isinstance(table, torch.nn.Embedding) and name.rpartition(".")[2] in POSITIONS
    ]
    return min(lengths, default=None)


def write_length(folder: Path, loaded: Loaded, model: str) -> None:
    """See to it that the settings say how many tokens are read, and no more than the model has positions for.

    Beyond them, torch would raise an IndexError, and a variant give anything at all. Settings that say it keep their
    bytes.
    """
    max_length, in_files = sides.max_seq_length(loaded.model), checkpoint_folder.max_seq_length(folder)
    is_unlimited = max_length is None or max_length > checkpoint_folder.NO_LIMIT
    available = positions(loaded.model.transformers_model)
    length = available if max_length is None or is_unlimited else min(max_length, available or max_length)
    # Where a length follows from a default of transformers' own, later stages would have to load the model for it.
    if length is None or (length == max_length == in_files):
        return
    transformer = folder / checkpoint_folder.transformer_path(folder)
    if (folder / "modules.json").is_file():
        path = checkpoint_folder.module_settings_path(transformer) or transformer / "sentence_bert_config.json"
        settings = files.read_json(path) if path.is_file() else {}
        for arguments in ("tokenizer_args", "processor_kwargs"):
            (settings.get(arguments) or {}).pop("model_max_length", None)
        settings["max_seq_length"] = length
    else:
        # Sentence Transformers reads no settings of its own for a bare model of transformers.
        path = transformer / "tokenizer_config.json"
        settings = (files.read_json(path) if path.is_file() else {}) | {"model_max_length": length}
    files.write_json(path, settings)
    sides.transformer(loaded.model).max_seq_length = length
    if length != max_length:
        claimed = "no length" if is_unlimited else f"{max_length} tokens"
        say(f"{model}: reads {length} tokens, for which it has positions; its settings say {claimed}")
