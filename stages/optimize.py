"""Optimize an exported ONNX graph: one of optimum's levels, or a row of own fusions."""

from pathlib import Path

from stages.shared import command, files, models, onnx_graphs, params
from stages.shared.progress import say


def main(variant: str, onnx: Path, out: Path) -> None:
    row = params.read().optimize[variant]
    config = models.config(onnx)
    if reason := onnx_graphs.unsupported(config, row):
        models.skip(out, variant, reason)
        say(f"{out}: skipped, {reason}")
        return
    with files.replacing_folder(out) as partial:
        target = models.prepare(partial, onnx, variant)
        fused = onnx_graphs.optimize(models.weights_path(onnx, "onnx"), target, config, row)
    say(f"{out}: {', '.join(f'{count} {name}' for name, count in fused.items()) or 'basic optimizations'}")


if __name__ == "__main__":
    command.run(main)
