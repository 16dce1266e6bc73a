"""Compare one variant with the frozen reference of torch in every way that counts, and give a verdict."""

from foundry.base import command
from foundry.validation.validating import main as main

if __name__ == "__main__":
    command.run(main)
