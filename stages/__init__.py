"""Embedding Foundry's stages: one small script per stage of dvc.yaml, run as `python -m stages.<stage>`."""

import sys
from pathlib import Path

from foundry.base import failing

if sys.argv[0] == "-m":  # as it is while `python -m stages.<stage>` imports this, and in no other case
    sys.excepthook = failing.show_uncaught
    # The runtime of this folder, as its deps say, and not that of another clone which is installed.
    sys.path.insert(1, str(Path(__file__).parents[1] / "runtime"))
