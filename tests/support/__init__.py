"""What tests share: small checkpoints, projects that use them, a Hub on loopback."""
