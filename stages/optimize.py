"""Optimize an exported ONNX graph: one of optimum's levels, or a row of own fusions."""

from pathlib import Path
from typing import Any

from foundry.base import command, files
from foundry.base.progress import say
from foundry.onnx import optimization
from foundry.params import reading
from foundry.variants import checkpoint_folder, variant_folder


def main(variant: str, onnx: Path, out: Path) -> None:
    settings = reading.read().of(out.parent.name)
    if variant_folder.left_out(out, variant, onnx, settings):
        return
    row, config = settings.optimize[variant], checkpoint_folder.config(onnx)
    if reason := optimization.unsupported(config, row):
        variant_folder.skip(out, variant, reason)
        say(f"{out}: skipped, {reason}")
        return
    with files.replacing_folder(out) as partial:
        target = variant_folder.prepare(partial, onnx, variant)
        fused = optimization.optimize(variant_folder.weights_path(onnx, "onnx"), target, config, row)
        made: dict[str, Any] = (
            {"operators": fused, "fusions": optimization.fusions(fused, config)} if row.level != "O1" else {}
        )
        variant_folder.write_record(partial, onnx, made)
    say(f"{out}: {', '.join(f'{count} {name}' for name, count in fused.items()) or 'basic optimizations'}")
    for name, one in made.get("fusions", {}).items():
        if one["found"] < one["expected"]:
            say("  ", (f"{one['found']} of {one['expected']} {name} fused", "yellow"))


if __name__ == "__main__":
    command.run(main)
