"""What is wrong with a folder, with what was asked of it, or with how it is used."""


class UnusableModel(ValueError):
    """A folder that this package cannot run, or not as Sentence Transformers would; the message says why."""


class FileChanged(UnusableModel):
    """A file whose bytes are not those that foundry.json records."""


class ProviderUnavailable(UnusableModel):
    """ONNX Runtime cannot use here what a graph is to run on, such as a GPU."""


class UsedAfterFork(RuntimeError):
    """A model was loaded in one process and used in a fork of it, where the threads of its runtime do not exist."""
