"""The exit code of a process by what it raised. Imports nothing, so that any process may end by it."""

import sys


def exit_code(error: BaseException | None) -> int:
    """The code that the interpreter ends with after an error, or after none; what it prints then is printed here."""
    if isinstance(error, SystemExit):
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if error is None:
        return 0
    sys.excepthook(type(error), error, error.__traceback__)
    return 1
