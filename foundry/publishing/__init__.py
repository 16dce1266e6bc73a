"""The published folder, the model card, `foundry.json`, signatures, secrets, and the Hub."""
