"""Build everything in params.yaml.

That is `dvc repro`, and where a stage fails, everything that does not need it: the other variants of the model, and
all other models, are still measured, reported and published. The end says what was not built, with exit code 1.

A dvc.lock that was cut off, because DVC was killed while it wrote the file, is first taken from the copy that each
stage keeps when it starts.
"""

from foundry.base import lock_copy
from foundry.base.errors import FoundryError


def main() -> None:
    from foundry.params import reading
    from foundry.tracking import recovery, reproduction

    params = reading.read()
    models = dict.fromkeys(params.models, params.variant_names)
    recovery.recover()
    lock_copy.keep()
    unbuilt = reproduction.build(models)
    lock_copy.keep()
    if unbuilt:
        lines = [
            f"  {model or 'all models'}: {', '.join(stages)}"
            for model, stages in reproduction.unbuilt_by_model(unbuilt, models).items()
        ]
        raise FoundryError("\n".join(["not built, because a stage failed (its error stands above):", *lines]))
