"""Run what Embedding Foundry published, without the tools that built it."""
