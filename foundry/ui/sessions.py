"""Who asks: on a shared host the user that the Hub says is logged in, by the session that Gradio keeps in a cookie.

The cookie is signed with the secret of the Space's login, so that nobody can write one for another user. Outside of a
Space, Gradio logs everybody in as the user of the machine, which is why a shared page does not start there.
"""

import os
import time
from collections.abc import Mapping
from typing import Any

from foundry.base.errors import FoundryError
from foundry.ui.workspaces import User

NEEDED = ("SPACE_ID", "OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OPENID_PROVIDER_URL", "OAUTH_SCOPES")
ALONE = "deploy it as a Space with `hf_oauth: true` (docs/ui.md), or run it for yourself without --shared"
LOG_IN = "log in with your account of the Hub first: the button is at the top"


def require_login() -> None:
    """Check that this is a Space in which people can log in.

    Raises:
        FoundryError: when it is none.
    """
    if os.environ.get("SYSTEM") != "spaces":  # what Gradio goes by
        raise FoundryError(f"a shared page needs the login of a Space, and SYSTEM is not `spaces`: {ALONE}")
    if missing := [name for name in NEEDED if not os.environ.get(name)]:
        raise FoundryError(f"a shared page needs the login of a Space, and {', '.join(missing)} is not set: {ALONE}")


def oauth_user(request: Any) -> User:
    """The user who is logged in.

    Args:
        request: Gradio's.

    Raises:
        FoundryError: when nobody is, or no longer.
    """
    return user_in(session_of(request))


def session_of(request: Any) -> Mapping[str, Any]:
    """The session of a request of Gradio's, as it is kept.

    Gradio's own `request.session` makes objects of it, and fails where a list stands in it: the Hub lists the
    organizations of whoever logs in.
    """
    scope = getattr(getattr(request, "request", None), "scope", {})
    return scope.get("session") or {}


def name_in(session: Mapping[str, Any]) -> str:
    """The name of the account that is logged in, for people; empty where none is."""
    try:
        user_in(session)
    except FoundryError:
        return ""
    return str(session["oauth_info"]["userinfo"].get("preferred_username") or "logged in")


def user_in(session: Mapping[str, Any]) -> User:
    """The user whose login a session holds.

    Raises:
        FoundryError: when it holds none, or one that is over.
    """
    info = session.get("oauth_info")
    if not isinstance(info, dict) or "userinfo" not in info or "access_token" not in info:
        raise FoundryError(LOG_IN)
    if float(info.get("expires_at") or 0) < time.time():
        raise FoundryError("your login is over: log in again at the top")
    # `sub` is the Hub's number of the account, which stays with it; a name may be given to another account later.
    return User(str(info["userinfo"]["sub"]), str(info["access_token"]))
