"""Quantize an ONNX graph without calibration: to dynamic int8, or its weights alone."""

from foundry.base import command
from foundry.onnx.quantization import main as main

if __name__ == "__main__":
    command.run(main)
