"""The Hugging Face Hub: reading a repository, sending one pull request, and retrying what failed in between."""
