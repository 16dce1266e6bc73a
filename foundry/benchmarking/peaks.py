"""The machine's own limit: the fastest matrix product that each runtime does here, for each precision.

A variant's share of it says what is left to gain: its arithmetic can be no faster than these products.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

SIZE = 1024  # rows and columns of both factors: large enough for full speed, small enough for the cache
SIZE_ON_GPU = 8192  # a smaller product does not fill a large one
SECONDS = 0.5  # of each precision


def torch_gflops(bf16: bool) -> dict[str, float]:
    """Torch's billions of operations a second, by precision."""
    import torch

    gflops = {}
    for name, kind in {"fp32": torch.float32, **({"bf16": torch.bfloat16} if bf16 else {})}.items():
        left, right = torch.rand(SIZE, SIZE).to(kind), torch.rand(SIZE, SIZE).to(kind)
        gflops[name] = _gflops(partial(torch.mm, left, right))
    return gflops


def cuda_gflops() -> dict[str, dict[str, float]]:
    """A GPU's billions of operations a second by precision, as torch reaches them."""
    import torch

    def rate(kind: Any) -> float:
        left, right = (torch.rand(SIZE_ON_GPU, SIZE_ON_GPU, device="cuda").to(kind) for _ in range(2))

        def product() -> None:
            torch.mm(left, right)
            torch.cuda.synchronize()

        return _gflops(product, SIZE_ON_GPU)

    gflops = {"fp32": rate(torch.float32), "fp16": rate(torch.float16), "bf16": rate(torch.bfloat16)}
    torch.set_float32_matmul_precision("high")
    gflops["tf32"] = rate(torch.float32)
    return {name: {"torch": value} for name, value in gflops.items()}


def onnx_gflops(bf16: bool) -> dict[str, float]:
    """ONNX Runtime's billions of operations a second, by precision: MatMul in fp32, MatMulInteger of u8 by s8."""
    import onnxruntime
    from onnx import TensorProto, helper

    del bf16  # this runtime has no such product on a CPU
    gflops = {}
    kinds = {
        "fp32": ("MatMul", TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.FLOAT),
        "int8": ("MatMulInteger", TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32),
    }
    shape = (SIZE, SIZE)
    for name, (operator, left, right, out) in kinds.items():
        weights = helper.make_tensor("b", right, shape, _numbers(helper.tensor_dtype_to_np_dtype(right)).ravel())
        graph = helper.make_graph(
            [helper.make_node(operator, ["a", "b"], ["c"])],
            "product",
            [helper.make_tensor_value_info("a", left, shape)],
            [helper.make_tensor_value_info("c", out, shape)],
            [weights],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        rows = _numbers(helper.tensor_dtype_to_np_dtype(left))
        gflops[name] = _gflops(partial(session.run, None, {"a": rows}))
    return gflops


def openvino_gflops(bf16: bool) -> dict[str, float]:
    """OpenVINO's billions of operations a second, by precision; int8 as in a quantized graph, scales and all."""
    import openvino
    from openvino import opset13 as ops

    gflops = {}
    for name in ("fp32", *(["bf16"] if bf16 else []), "int8"):
        rows = ops.parameter([SIZE, SIZE], np.float32)
        weights = ops.constant(_numbers(np.float32) - 0.5)
        left: Any = rows
        if name == "int8":
            left = ops.fake_quantize(rows, *(np.float32(edge) for edge in (0, 1, 0, 1)), 256)
            weights = ops.fake_quantize(weights, *(np.float32(edge) for edge in (-0.5, 0.5, -0.5, 0.5)), 255)
        model = openvino.Model([ops.matmul(left, weights, False, False)], [rows])
        precision = {"INFERENCE_PRECISION_HINT": "bf16" if name == "bf16" else "f32"}
        request = openvino.Core().compile_model(model, "CPU", precision).create_infer_request()
        request.set_input_tensor(openvino.Tensor(_numbers(np.float32)))
        gflops[name] = _gflops(request.infer)
    return gflops


def _numbers(kind: Any) -> np.ndarray:
    """A factor (SIZE, SIZE) of random numbers of a type of numpy's."""
    values = np.random.default_rng(0).random((SIZE, SIZE), dtype=np.float32)
    return values if np.dtype(kind) == np.float32 else (values * 100).astype(kind)


def _gflops(product: Callable[[], Any], size: int = SIZE) -> float:
    """The fastest of the runs: a limit is what the machine can do, not what it did in the middle."""
    product()
    best, until = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        started = time.perf_counter()
        product()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e9
