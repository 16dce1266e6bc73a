"""Attention for long texts, whose memory grows with the length and not with its square.

Exported as single operators, attention holds a score for each head and each pair of tokens. Here it is exported

- over all tokens as one operator that goes by blocks: `MultiHeadAttention` of ONNX Runtime, which does so only without
  a mask, or `ScaledDotProductAttention` of OpenVINO;
- over near tokens alone (ModernBERT) as products of blocks with their neighbours, of what every runtime has;
- over the tokens before each (decoders) as `foundry.export.causal_attention` says.

transformers lets a model compute attention by any function that is registered under a name, and its mask as well. A
model whose attention is of another form, or that does not ask for these functions, is refused here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from foundry.base.errors import FoundryError
from foundry.export import causal_attention

LONG_TOKENS = 1024  # The maximum length above which a model is exported this way; shorter ones keep their bytes.
NAME = "foundry_long"  # in transformers' registers
# Added to the score of a token that is not attended to. fp16 holds it, and what it leaves of a weight is 0.
HIDDEN = -3e4
ADDED_DIMENSIONS = 8  # A multiple of eight keeps the heads' width one: kernels of GPUs ask for it.
SMALLEST_BLOCK = 32  # tokens
# Tokens to each side. With more, short texts are filled up to large blocks: with 256, one of 16 tokens takes 2.5 times
# as long.
WIDEST_WINDOW = 128
TRIED_TOKENS = 64  # of a mask's function, beyond its window
TRIED_QUERIES = 256  # at most: a window of some thousand tokens has millions of pairs

# Arguments of some architectures' attention: T5's bias of places, and scores that belong to no token.
ADDED_TO_SCORES = ("position_bias", "s_aux")

Runtime = Literal["onnx", "openvino"]


class Keys(NamedTuple):
    """In the place of a mask of every pair of tokens: which tokens are none, and how far tokens may be apart."""

    bias: Any  # (texts, tokens): 0, or `HIDDEN` at padding
    window: int | None  # None for any distance
    causal: bool = False  # whether tokens attend to none behind them
    seen: Any = None  # (1, 1, tokens, tokens), for OpenVINO's causal attention


@dataclass
class Register:
    """What is exported now: for which runtime, and how many attentions were computed this way."""

    runtime: Runtime = "onnx"
    calls: int = 0


REGISTER = Register()


def register(runtime: Runtime) -> Register:
    """Register attention and mask in transformers, for graphs of this runtime; give what counts their use.

    Raises:
        FoundryError: when transformers has no such registers.
    """
    try:
        from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    except ImportError as error:
        raise FoundryError(f"this transformers takes no attention of others: {error}") from error
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, mask)
    ALL_ATTENTION_FUNCTIONS.register(NAME, attention)
    REGISTER.runtime, REGISTER.calls = runtime, 0
    return REGISTER


def mask(mask_function: Callable[..., Any], attention_mask: Any, local_size: int | None = None, **_: Any) -> Keys:
    """What transformers asks for in the place of a mask; it says which tokens are none in `attention_mask`, (texts,
    tokens).

    Raises:
        FoundryError: when tokens attend to others by something else than their distance in both directions.
    """
    import torch

    window, is_causal = window_of(mask_function, local_size)
    if window is not None and window > WIDEST_WINDOW and not is_causal:
        raise FoundryError(f"blocks for a window of {window} tokens to both sides would make short texts slow")
    if attention_mask is None:
        raise FoundryError("the model asks for no mask of its padding")
    needs_mask = is_causal and REGISTER.runtime == "openvino"
    seen = causal_attention.seen_by(attention_mask.shape[1], window) if needs_mask else None
    return Keys(torch.where(attention_mask, 0.0, HIDDEN), window, is_causal, seen)


def window_of(mask_function: Callable[..., Any], local_size: int | None) -> tuple[int | None, bool]:
    """How far two tokens may be apart, None for any distance, and whether each attends only to itself and those before
    it; tried out.

    Raises:
        FoundryError: when something else decides.
    """
    import torch

    places = np.arange(TRIED_TOKENS + 2 * (local_size or 0))
    tried = np.unique(np.linspace(0, len(places) - 1, TRIED_QUERIES).astype(int))
    queries, keys = torch.from_numpy(tried)[:, None], torch.from_numpy(places)[None, :]
    try:
        seen = np.broadcast_to(mask_function(0, 0, queries, keys).numpy(), (len(tried), len(places)))
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        raise FoundryError(f"which tokens attend to which is no function of their places: {error}") from error
    before = tried[:, None] - places[None, :]
    is_causal = not seen[before < 0].any()
    distances = np.where(before < 0, len(places), before) if is_causal else np.abs(before)
    if seen[distances < len(places)].all():
        return None, is_causal
    window = int(distances[seen].max())
    if not np.array_equal(seen, distances <= window) or window >= len(places) - 1:
        raise FoundryError("which of its tokens attend to which is neither a distance nor the order of tokens")
    return window, is_causal


def attention(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    scaling: float | None = None,
    softcap: float | None = None,
    **further: Any,
) -> tuple[Any, None]:
    """What transformers asks for in the place of attention. Query, key and value are (texts, heads, tokens, width); the
    result is (texts, tokens, heads, width).

    Raises:
        FoundryError: when it is attention of another form.
    """
    added = [name for name in ADDED_TO_SCORES if further.get(name) is not None]
    if not isinstance(attention_mask, Keys) or softcap or added or query.dim() != 4:
        raise FoundryError("its attention takes more than a mask of padding and a window")
    REGISTER.calls += 1
    scale = float(query.shape[-1]) ** -0.5 if scaling is None else float(scaling)
    if attention_mask.causal and REGISTER.runtime == "onnx":
        return causal_attention.by_onnx_runtime(
            query, key, value, attention_mask.bias, scale, attention_mask.window
        ), None
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    if attention_mask.causal:
        rows = causal_attention.by_openvino(query, key, value, attention_mask.bias, scale, attention_mask.seen)
    elif attention_mask.window is not None:
        rows = near(query, key, value, attention_mask.bias, scale, attention_mask.window)
    elif REGISTER.runtime == "onnx":
        rows = by_onnx_runtime(query, key, value, attention_mask.bias, scale)
    else:
        rows = by_openvino(query, key, value, attention_mask.bias, scale)
    return rows, None


def near(query: Any, key: Any, value: Any, bias: Any, scale: float, window: int) -> Any:
    """Attention to the tokens within `window` tokens: each block of tokens with itself and the blocks around it."""
    import torch
    from torch.nn.functional import pad

    # With larger blocks a short text is filled up by more places, with smaller ones keys are copied more often.
    block = max(window // 2, SMALLEST_BLOCK)
    reach = -(-window // block)  # how many blocks on each side
    span = 2 * reach + 1
    texts, heads, tokens, width = query.shape
    blocks = (tokens + block - 1) // block

    def around(states: Any) -> Any:
        """(texts, heads, blocks, places of `span` blocks, width) of (texts, heads, tokens, width)."""
        padded = pad(states, (0, 0, reach * block, (reach + 1) * block))[:, :, : (blocks + 2 * reach) * block]
        parts = padded.reshape(texts, states.shape[1], blocks + 2 * reach, block, states.shape[-1])
        return torch.cat([parts[:, :, first : blocks + first] for first in range(span)], dim=3)

    queries = pad(query, (0, 0, 0, block))[:, :, : blocks * block].reshape(texts, heads, blocks, block, width)
    # A place beyond the text counts as padding: 1 stands at each token, and what lies beyond stays 0.
    seen = around((bias > HIDDEN / 2).to(query.dtype)[:, None, :, None])[..., 0].unsqueeze(3) > 0.5
    places = torch.arange(span * block)
    is_near = (places[None, :] - reach * block - torch.arange(block)[:, None]).abs() <= window
    scores = torch.matmul(queries, around(key).transpose(-1, -2)) * scale
    scores = scores + torch.where(seen & is_near, 0.0, HIDDEN)
    rows = torch.matmul(torch.softmax(scores, dim=-1), around(value))
    return rows.reshape(texts, heads, blocks * block, value.shape[-1])[:, :, :tokens].transpose(1, 2)


def by_onnx_runtime(query: Any, key: Any, value: Any, bias: Any, scale: float) -> Any:
    """Attention to all tokens by ONNX Runtime's operator, which goes by blocks where it is given no mask.

    So padding is in the keys: one dimension more, of 1 in each query and of the bias in each key, adds the bias to each
    product, before it is scaled.
    """
    import torch

    texts, heads, tokens, width = query.shape
    ones = torch.ones_like(query[..., :1])
    zeros = torch.zeros_like(query[..., :1]).expand(-1, -1, -1, ADDED_DIMENSIONS - 1)
    biases = bias[:, None, :, None].expand(-1, heads, -1, -1)
    queries = (
        torch.cat((query, ones, zeros), dim=-1)
        .transpose(1, 2)
        .reshape(texts, tokens, heads * (width + ADDED_DIMENSIONS))
    )
    keys = (
        torch.cat((key, biases, zeros), dim=-1)
        .transpose(1, 2)
        .reshape(texts, tokens, heads * (width + ADDED_DIMENSIONS))
    )
    values = value.transpose(1, 2).reshape(texts, tokens, heads * value.shape[-1])
    rows = _operator().apply(queries, keys, values, int(heads), scale)
    return rows.reshape(texts, tokens, heads, value.shape[-1])


def by_openvino(query: Any, key: Any, value: Any, bias: Any, scale: float) -> Any:
    """Attention to all tokens by OpenVINO's operator."""
    import torch

    rows = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=bias[:, None, None, :].to(query.dtype), scale=scale
    )
    return rows.transpose(1, 2)


def _operator() -> Any:
    """ONNX Runtime's MultiHeadAttention, for torch.onnx: what it computes in torch, and the node that it is in ONNX."""
    import torch

    class MultiHeadAttention(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, queries: Any, keys: Any, values: Any, heads: int, scale: float) -> Any:
            split = [states.unflatten(-1, (heads, -1)).transpose(1, 2) for states in (queries, keys, values)]
            rows = torch.nn.functional.scaled_dot_product_attention(*split, scale=scale)
            return rows.transpose(1, 2).flatten(2)

        @staticmethod
        def symbolic(graph: Any, queries: Any, keys: Any, values: Any, heads: int, scale: float) -> Any:
            node = graph.op(
                "com.microsoft::MultiHeadAttention", queries, keys, values, num_heads_i=heads, scale_f=scale
            )
            node.setType(values.type())
            return node

    return MultiHeadAttention
