"""Run `python -m stages.X`, `foundry` and `dvc` as processes of their own, without the seconds that imports take.

A server imports the libraries once, and computes nothing: a fork has none of its parent's threads. Each call is a fork
of it, with the working folder, environment, arguments and standard streams of the caller, who gets its exit code. The
project's own modules are imported by the fork, from the caller's folder, as `python -m` does it.

    with ForkServer() as server:
        subprocess.run(["dvc", "repro"], env={**os.environ, "PATH": server.path})

`server.path` starts with a folder that holds a `python`, a `foundry` and a `dvc`. They hand `-m stages.X`, `-m foundry`
and `-m dvc` to the server; for everything else, `python` is the real interpreter. Libraries read some variables when
they are imported (`HF_ENDPOINT`); a call in which one of them is not as it was in the server is run by the real
interpreter, too.
"""

import atexit
import contextlib
import fcntl
import gc
import importlib
import marshal
import multiprocessing
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn, Self

# In this order, everything that a stage imports of what takes long.
LIBRARIES = (
    "numpy", "torch", "transformers", "sentence_transformers", "onnx", "onnxruntime", "openvino", "nncf",
    "optimum.onnxruntime", "optimum.exporters.onnx", "optimum.intel.openvino", "optimum.exporters.openvino", "datasets",
    "scipy.stats", "pydantic", "typer", "rich.console", "yaml", "jinja2", "matplotlib.pyplot", "huggingface_hub",
    "onnxruntime.quantization", "onnxruntime.transformers.optimizer", "sentence_transformers.sentence_transformer",
    "torch.onnx", "psutil", "gensim", "dvc.cli", "dvc.repo", "dvc.commands.repro", "dvc.stage.run", "dvc_data.index",
    "dvc_s3", "s3fs", "boto3", "ruamel.yaml", "networkx",
)  # fmt: skip
READ_ON_IMPORT = ("HF_", "TRANSFORMERS_", "HUGGINGFACE_")
SET_BY_STAGES = {"HF_HUB_DISABLE_TELEMETRY", "TRANSFORMERS_VERBOSITY", "HF_TOKEN"}  # the last is read when it is used
START_SECONDS = 300
OUT_OF_THE_WAY = 100  # above the numbers of the streams that any process of a stage has
# What `python`, `foundry` and `dvc` are. It imports as little as it can: it runs for every stage.
SHIM = """#!{python} -ISE
import os, sys
words, numbers = [*{first!r}, *sys.argv[1:]], [0, 1, 2]
is_module = words[:1] == ["-m"] and words[1:2] and words[1].partition(".")[0] in ("stages", "foundry", "dvc")
is_child = words[-1:] == ["--multiprocessing-fork"]
if is_module or is_child:
    import _socket, marshal
    if is_child:  # the pipes to the process that spawned it
        for name in os.listdir("/dev/fd"):
            try:
                numbers += [int(name)] if int(name) > 2 and os.get_inheritable(int(name)) else []
            except OSError:  # of the folder itself, which is closed by now
                pass
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    server.connect({address!r})
    call = marshal.dumps((words if is_module else words[-3:], numbers, os.getcwd(), dict(os.environ)))
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in numbers)
    server.sendmsg([len(call).to_bytes(8, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
    while call:
        call = call[server.send(call):]
    code = server.recv(4)
    os._exit(int.from_bytes(code, "big") if code else 70)
os.execv({python!r}, [{python!r}, *words])
"""
# The words after `python`, what its streams are called there, the working folder and the environment.
Call = tuple[list[str], list[int], str, dict[str, str]]


class ForkServer:
    """The server's process, and the folder with the `python` that uses it.

    Args:
        variables: what the environment of the server has besides that of this process: that of the stages, where
            libraries read it on import.
    """

    def __init__(self, **variables: str) -> None:
        self.variables = variables
        self._folder = tempfile.TemporaryDirectory(prefix="fork-server-")  # short: the address of a socket must be
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> str:
        """The folder with the `python` that uses the server, which is started when this is first asked for."""
        if self._process is None:
            self.start()
        return self._folder.name

    @property
    def path(self) -> str:
        """PATH, with `python` as the server's."""
        return f"{self.folder}:{os.environ['PATH']}"

    def start(self) -> None:
        address = str(Path(self._folder.name) / "socket")
        for name, first in (("python", []), ("foundry", ["-m", "foundry"]), ("dvc", ["-m", "dvc"])):
            shim = Path(self._folder.name) / name
            shim.write_text(SHIM.format(python=sys.executable, address=address, first=first))
            shim.chmod(0o755)
        # One thread, or it starts more as it is loaded; and the seed with which the export would start itself again.
        single = {"OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, address], env={**os.environ, **self.variables, **single}, cwd=self._folder.name
        )
        end = time.monotonic() + START_SECONDS
        while not Path(address).exists():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the fork server did not start: see standard error")
            time.sleep(0.05)

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(address: str) -> socket.socket | None:
    """Import the libraries, then fork for each call until the tests end; give a fork the connection to its caller."""
    # As foundry.base.command does it for a stage; these are read on import, too.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    gc.disable()
    for name in LIBRARIES:
        with contextlib.suppress(ModuleNotFoundError):  # optimum and NNCF, which are an extra
            importlib.import_module(name)
    gc.freeze()  # a collection in a fork would copy every page that it looks at
    gc.enable()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{address}.new")
    listener.listen(64)
    Path(f"{address}.new").rename(address)
    tests = os.getppid()
    while os.getppid() == tests:  # no longer when the tests were killed
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if select.select([listener], [], [], 1)[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                return connection
            connection.close()
    return None


def answer(connection: socket.socket) -> Call:
    """Fork once more: the new process gets the call, with the caller's streams as its own; this one waits for it.

    The caller is told the exit code. When the caller ends first, the new process is ended.
    """
    header, streams, _, _ = socket.recv_fds(connection, 8, 16)
    content = b""
    while len(content) < int.from_bytes(header, "big"):
        content += connection.recv(1 << 20)
    call: Call = marshal.loads(content)
    ended, alive = os.pipe()  # the new process has `alive` for as long as it lives
    child = os.fork()
    if child == 0:
        # Out of the way first: a stream may have the number that another is to get.
        streams = [fcntl.fcntl(stream, fcntl.F_DUPFD, OUT_OF_THE_WAY) for stream in streams]
        fcntl.fcntl(alive, fcntl.F_DUPFD_CLOEXEC, OUT_OF_THE_WAY)
        connection.close()
        os.closerange(3, OUT_OF_THE_WAY)
        for number, stream in zip(call[1], streams, strict=True):
            os.dup2(stream, number)
            os.close(stream)
        return call
    os.close(alive)
    for stream in streams:
        os.close(stream)
    if ended not in select.select([connection, ended], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall((code if code >= 0 else 128 - code).to_bytes(4, "big"))
    os._exit(0)


def run(words: list[str], _: list[int], folder: str, environment: dict[str, str]) -> NoReturn:
    """Be `python` with these words, in that folder and environment."""
    shim = str(Path(sys.argv[1]).parent / "python")  # beside the server's socket
    os.chdir(folder)
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    os.environ.setdefault("PYTHONHASHSEED", "0")
    names = {name for name in {**before, **environment} if name.startswith(READ_ON_IMPORT)} - SET_BY_STAGES
    if any(before.get(name) != environment.get(name) for name in names):
        os.execve(sys.executable, [sys.executable, *words], environment)
    kind, what, *arguments = words
    more = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:1] = [folder, *more]  # the first is the folder of this file
    sys.argv = [kind, *arguments]
    try:
        if kind == "-m":
            # The processes that a stage spawns (benchmark measures in such) are forks, too.
            multiprocessing.set_executable(shim)
            multiprocessing.process.ORIGINAL_DIR = folder  # where they start
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(what)
    finally:
        end(sys.exception())


def end(error: BaseException | None) -> NoReturn:
    """End this process as the interpreter does, but for what its libraries do last.

    ONNX Runtime and OpenVINO wait for threads of theirs, which only the server has.
    """
    from foundry.base.exit_codes import exit_code  # of the caller's folder, as all of the project's modules

    code = exit_code(error)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    caller = serve(sys.argv[1])
    if caller is not None:
        run(*answer(caller))
