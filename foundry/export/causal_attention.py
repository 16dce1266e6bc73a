"""Attention of decoders for long texts: each token attends to itself and to those before it, all or the nearest.

- ONNX Runtime has one operator that goes by blocks for it, `GroupQueryAttention`, which takes keys and values that
  several heads share as they are.
- OpenVINO's operator makes a mask of every pair of tokens out of the word `causal`, one for each layer, in fp32. So it
  is given one of a byte for each pair, which all heads, texts and layers share. Padding is in the keys there, too.
"""

from typing import Any

from foundry.base.errors import FoundryError

ADDED_DIMENSIONS = 8  # of queries and keys, for padding
EVERY_TOKEN = -1  # as a window, in the words of ONNX Runtime
INT32 = 6  # in the words of ONNX


def by_onnx_runtime(query: Any, key: Any, value: Any, bias: Any, scale: float, window: int | None) -> Any:
    """Attention to this token and those before it, by ONNX Runtime's operator; with a `window`, to so many before it.

    Query is (texts, heads, tokens, width), key and value have as many heads or fewer; the bias, (texts, tokens), is
    added to the product with each key, before it is scaled. Returns (texts, tokens, heads, width).

    Raises:
        FoundryError: when values are wider than keys, which the operator does not take.
    """
    from torch.nn.functional import pad

    # As plain numbers, tracing makes constants of them.
    heads, shared, width, values_width = (
        int(size) for size in (query.shape[1], key.shape[1], query.shape[-1], value.shape[-1])
    )
    # The operator asks for a width in multiples of eight, the same of keys and of values.
    added = ADDED_DIMENSIONS + -width % ADDED_DIMENSIONS
    if values_width > width + added:
        raise FoundryError(f"its values are wider than its keys, {values_width} and {width}")
    queries, keys = _with_bias(query, key, bias, added)
    values = pad(value, (0, width + added - values_width))
    states = (states.transpose(1, 2) for states in (queries, keys, values))
    local = EVERY_TOKEN if window is None else window + 1
    return _operator().apply(*states, bias, heads, shared, float(scale), local)[..., :values_width]


def _with_bias(query: Any, key: Any, bias: Any, added: int) -> tuple[Any, Any]:
    """Query and key with so many more dimensions, so that their products are those of before plus the key's bias."""
    from torch.nn.functional import pad

    # 1 in each query, and in the keys the bias and zeros: one sum for all heads and layers.
    in_keys = pad(bias[:, None, :, None].to(key.dtype), (int(key.shape[-1]), added - 1))
    return pad(query, (0, added), value=1.0), pad(key, (0, added)) + in_keys


def _operator() -> Any:
    """ONNX Runtime's GroupQueryAttention, for torch.onnx: what it computes in torch, and its node in ONNX. All states
    are (texts, tokens, heads, width)."""
    import torch

    class GroupQueryAttention(torch.autograd.Function):
        @staticmethod
        def forward(
            context: Any, query: Any, key: Any, value: Any, bias: Any, heads: int, shared: int, scale: float, local: int
        ) -> Any:
            states = [states.transpose(1, 2) for states in (query, key, value)]
            seen = seen_by(query.shape[1], None if local == EVERY_TOKEN else local - 1)
            rows = torch.nn.functional.scaled_dot_product_attention(
                *states, attn_mask=seen, scale=scale, enable_gqa=True
            )
            return rows.transpose(1, 2)

        @staticmethod
        def symbolic(
            graph: Any, query: Any, key: Any, value: Any, bias: Any, heads: int, shared: int, scale: float, local: int
        ) -> Any:
            def constant(numbers: Any, dtype: Any = torch.int64) -> Any:
                return graph.op("Constant", value_t=torch.tensor(numbers, dtype=dtype))

            # No text is cut here: padding is in the keys, on either side. The bias's shape is that of every layer.
            shape = graph.op("Shape", bias)
            texts = graph.op("Gather", shape, constant([0]), axis_i=0)
            tokens = graph.op("Cast", graph.op("Gather", shape, constant(1), axis_i=0), to_i=INT32)
            last = graph.op("Expand", graph.op("Sub", tokens, constant(1, torch.int32)), texts)
            flat = [graph.op("Reshape", states, constant([0, 0, -1])) for states in (query, key, value)]
            none = graph.op("prim::Constant")
            none.setType(torch._C.NoneType.get())
            # Nobody reads the keys and values that it gives, but it goes by blocks only where it has to give them.
            rows, keys, values = graph.op(
                "com.microsoft::GroupQueryAttention", *flat, none, none, last, tokens,
                num_heads_i=heads, kv_num_heads_i=shared, scale_f=scale, local_window_size_i=local, outputs=3,
            )  # fmt: skip
            # Tools that do not know the operator read the types of what it gives.
            for given, rank in ((rows, 3), (keys, 4), (values, 4)):
                given.setType(query.type().with_sizes([None] * rank))
            result = graph.op("Reshape", rows, constant([0, 0, heads, -1]))
            result.setType(query.type())
            return result

    return GroupQueryAttention


def by_openvino(query: Any, key: Any, value: Any, bias: Any, scale: float, seen: Any) -> Any:
    """The same by OpenVINO's operator. Which token is `seen` by which is (1, 1, tokens, tokens), as `seen_by` gives it;
    keys and values have a head for each of the queries'."""
    import torch

    queries, keys = _with_bias(query, key, bias, ADDED_DIMENSIONS)
    rows = torch.nn.functional.scaled_dot_product_attention(queries, keys, value, attn_mask=seen, scale=scale)
    return rows.transpose(1, 2)


def seen_by(tokens: int, window: int | None) -> Any:
    """Whether each token attends to each other one, (1, 1, tokens, tokens): to itself and, of those before it, to all
    or as many as the `window` has."""
    import torch

    places = torch.arange(tokens)
    seen = places[:, None] >= places[None, :]
    if window is not None:
        seen = seen & (places[:, None] - window <= places[None, :])
    return seen[None, None]
