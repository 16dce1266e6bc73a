"""Export a checkpoint to ONNX or OpenVINO, and compare the graph with torch on a few texts at once."""

from foundry.base import command
from foundry.export.exporting import main as main

if __name__ == "__main__":
    command.run(main)
