"""The server of the page: Gradio behind the gate, for the project of a folder or the users of a shared host."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError
from foundry.ui import limits, login_page, workspaces
from foundry.ui.gate import Gate
from foundry.ui.login_failures import LoginFailures
from foundry.ui.own_folders import OwnFolder
from foundry.ui.workspaces import User, Workspace

# Gradio reads these when it is imported.
ENVIRONMENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_TEMP_DIR": "",
}
LOOPBACK = "127.0.0.1"
UPLOADED = "foundry-ui-uploads-"  # how the names of folders with uploads begin


def make(
    root: Path,
    shared: bool = False,
    state: Path | None = None,
    user_of: Callable[[Any], User] | None = None,
    identity: Callable[[dict[str, str]], str] | None = None,
    most_seconds: float | None = None,
) -> Any:
    """The page as an ASGI application.

    Args:
        root: The project; on a shared host, what the users' folders are copies of.
        state: On a shared host, the folder that holds those of all users.
        user_of: Who asks, by Gradio's request; by default the Hub's login.
        identity: The same by the headers of a request, empty where nobody is logged in; to be given with `user_of`.
        most_seconds: On a shared host, how long a run may take.

    Raises:
        FoundryError: when there is no project, Gradio is not installed, or nobody could log in.
    """
    workspace_of = _shared(root, state, user_of, most_seconds) if shared else _local(root)
    uploaded = OwnFolder(Path(tempfile.gettempdir()), UPLOADED)
    os.environ |= {**ENVIRONMENT, "GRADIO_TEMP_DIR": str(uploaded.path)}
    try:
        import gradio as gr
        from fastapi import FastAPI
    except ModuleNotFoundError as error:
        raise FoundryError(f"{error.name} is not installed: pip install 'embedding-foundry[ui]'") from error
    from foundry.ui import page

    blocks = page.build(workspace_of, shared, login=shared and user_of is None)
    blocks.queue(api_open=False, max_size=limits.CLICKS_WAITING)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    mounted = gr.mount_gradio_app(
        app, blocks, path="/", theme=page.theme(), css_paths=page.STYLE, show_error=False, ssr_mode=False,
        max_file_size=limits.UPLOAD_BYTES, footer_links=[], run_history=False, enable_monitoring=False,
        mcp_server=False, pwa=False, allowed_paths=[], blocked_paths=["/"],
        head=login_page.RELOADING if shared else None,
    )  # fmt: skip

    async def forget(session: str) -> None:
        await blocks._queue.clean_events(session_hash=session)
        blocks._queue.pending_messages_per_session.pop(session, None)
        blocks._queue.pending_event_ids_session.pop(session, None)

    return Gate(LoginFailures(mounted), shared, uploaded.path, identity, at_end=uploaded.remove, forget=forget)


def _local(root: Path) -> Callable[[Any], Workspace]:
    workspace = workspaces.local(root)
    return lambda request: workspace


def _shared(
    root: Path, state: Path | None, user_of: Callable[[Any], User] | None, most_seconds: float | None
) -> Callable[[Any], Workspace]:
    from foundry.ui import sessions, user_folders

    workspaces.local(root)  # says where there is no project
    if state is None:
        raise FoundryError("a shared page needs a folder for what its users build: --state FOLDER")
    if user_of is None:
        sessions.require_login()
    find = user_of or sessions.oauth_user
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    return lambda request: user_folders.for_user(find(request), state, root, most_seconds)


def serve(app: Any, host: str, port: int) -> None:
    """Answer requests until Ctrl-C. Runs go on without the server.

    Raises:
        FoundryError: when the port is taken.
    """
    import resource
    import socket

    import uvicorn

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise FoundryError(
                f"port {port} of {host} cannot be had: {error.strerror}; take another with --port"
            ) from error
    # The memory of this process, and of a run that it starts, holds tokens: no crash writes it into a file.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    # As many connections as the system allows: whoever opens many keeps others out.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):  # macOS allows fewer than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    is_behind_proxy = host != LOOPBACK
    uvicorn.run(
        app, host=host, port=port, log_level="warning", access_log=False, proxy_headers=is_behind_proxy,
        forwarded_allow_ips="*" if is_behind_proxy else None, timeout_graceful_shutdown=2,
    )  # fmt: skip
