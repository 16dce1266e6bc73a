"""The subcommands of `foundry`, a file for each."""
