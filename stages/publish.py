"""Publish what passed: one complete repository folder that Sentence Transformers loads every variant from; and, with"""

from foundry.base import command
from foundry.publishing.publishing import main as main

if __name__ == "__main__":
    command.run(main)
