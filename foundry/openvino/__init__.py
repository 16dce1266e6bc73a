"""OpenVINO graphs: static int8, and fp16 or int8 weights."""
