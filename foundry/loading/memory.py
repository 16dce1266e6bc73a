"""How much memory inputs take in a model, estimated before they are run, and how much there is.

Graphs of models of short texts have attention written out: of each head, a number for each pair of tokens, several
times over. A processor's memory ends there long before its patience, and the system then ends the process without a
word.
"""

import resource
from pathlib import Path

from foundry.variants import checkpoint_folder

BYTES_PER_NUMBER = 4
COPIES_OF_SCORES = 6  # what ONNX Runtime holds of the attention's scores at once, its growing by doubles included
TOKENS_IN_BLOCKS = (
    320  # with which each token's scores, keys and values are held at once where attention goes by blocks
)
PAIRS_IN_NUMBER = 4  # OpenVINO's graphs of decoders keep a byte for each pair of tokens, for all texts together
COPIES_OF_STATES = 12  # of a token's state: its input, query, key, value and output, and the feed-forward layer's
PROCESS_BYTES = 1_500_000_000  # of the libraries, and what runtimes keep beside weights and inputs
COPIES_OF_WEIGHTS = 3  # the file that is read, the runtime's own order of it, and what is made of it meanwhile
USABLE_SHARE = 0.8  # of what is free: the estimate is rough, and other processes take some, too
# Of a container, in both versions of cgroups: its limit, what it uses, and where the caches among that are said.
CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def input_bytes(folder: Path, rows: int, tokens: int, written_out: bool = True) -> int:
    """What a batch of so many `rows`, padded to so many `tokens`, takes in the model of a folder, at its most.

    Without attention `written_out` (as torch computes it by default, and graphs of models of long texts), nothing of a
    head grows with the square of the length.
    """
    config = checkpoint_folder.config(folder)
    config = config.get("text_config") or config
    heads = _number(config, 12, "num_attention_heads", "n_heads", "num_heads", "n_head", "encoder_attention_heads")
    hidden = _number(config, 768, "hidden_size", "dim", "d_model", "n_embd")
    wide = _number(config, 4 * hidden, "intermediate_size", "hidden_dim", "d_ff", "n_inner", "encoder_ffn_dim")
    numbers = tokens * (COPIES_OF_STATES * hidden + 3 * wide)
    if written_out:
        # The mask of every pair of tokens counts as one head more.
        numbers += tokens**2 * (COPIES_OF_SCORES * heads + 1)
    else:
        numbers += tokens * TOKENS_IN_BLOCKS * COPIES_OF_SCORES * heads
    if checkpoint_folder.task(folder) == "fill-mask":
        numbers += 3 * tokens * _number(config, 32_000, "vocab_size")
    shared = 0 if written_out else tokens**2 // PAIRS_IN_NUMBER
    return (rows * numbers + shared) * BYTES_PER_NUMBER


def _number(config: dict[str, object], default: int, *names: str) -> int:
    """The first number that a config has under one of the names that architectures give to it."""
    values = (config.get(name) for name in names)
    return next((value for value in values if isinstance(value, int)), default)


def model_bytes(weights: list[Path]) -> int:
    """What a process with a model of these weights takes before any input."""
    return PROCESS_BYTES + COPIES_OF_WEIGHTS * sum(path.stat().st_size for path in weights if path.is_file())


def available_bytes() -> int:
    """What this process may still take: of the machine's memory, its container's, and its own limit."""
    import psutil

    known = [psutil.virtual_memory().available]
    for folder, limit, used, cache in CGROUPS:
        try:
            free = int(Path(folder, limit).read_text()) - int(Path(folder, used).read_text())
            statistics = dict(line.split() for line in Path(folder, "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # no container, another version of cgroups, or "max"
            continue
        known.append(free + int(statistics.get(cache, 0)))
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if address_space != resource.RLIM_INFINITY:
        known.append(address_space - psutil.Process().memory_info().vms)
    return max(min(known), 0)


def usable_bytes() -> int:
    """What may be planned with."""
    return int(USABLE_SHARE * available_bytes())


def gigabytes(number: int) -> str:
    """A number of bytes, for people."""
    return f"{number / 1e9:.1f} GB"
