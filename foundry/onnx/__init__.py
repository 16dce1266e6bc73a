"""ONNX graphs of any size: O1–O4, dynamic int8, static int8, and weights in blocks."""
