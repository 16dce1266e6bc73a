"""The library of Embedding Foundry: everything that its stages and the command `foundry` do, in folders by subject."""
