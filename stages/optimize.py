"""Optimize an exported ONNX graph: one of optimum's levels, or a row of own fusions."""

from pathlib import Path
from typing import Any

from stages.shared import command, files, models, onnx_graphs, params
from stages.shared.progress import say


def main(variant: str, onnx: Path, out: Path) -> None:
    settings = params.read().of(out.parent.name)
    if models.left_out(out, variant, onnx, settings):
        return
    row, config = settings.optimize[variant], models.config(onnx)
    if reason := onnx_graphs.unsupported(config, row):
        models.skip(out, variant, reason)
        say(f"{out}: skipped, {reason}")
        return
    with files.replacing_folder(out) as partial:
        target = models.prepare(partial, onnx, variant)
        fused = onnx_graphs.optimize(models.weights_path(onnx, "onnx"), target, config, row)
        made: dict[str, Any] = (
            {"operators": fused, "fusions": onnx_graphs.fusions(fused, config)} if row.level != "O1" else {}
        )
        models.write_record(partial, onnx, made)
    say(f"{out}: {', '.join(f'{count} {name}' for name, count in fused.items()) or 'basic optimizations'}")
    for name, one in made.get("fusions", {}).items():
        if one["found"] < one["expected"]:
            say("  ", (f"{one['found']} of {one['expected']} {name} fused", "yellow"))


if __name__ == "__main__":
    command.run(main)
