"""Embedding Foundry's stages: one small script per stage of dvc.yaml, run as `python -m stages.<stage>`."""

import sys

from foundry.base import failing

if sys.argv[0] == "-m":  # as it is while `python -m stages.<stage>` imports this, and in no other case
    sys.excepthook = failing.show_uncaught
