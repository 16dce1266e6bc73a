"""What somebody gets on a shared host who is not logged in: a page that asks for a login, and asks the server for
nothing. Gradio's own page would click by itself when it is opened, in a session that the server has to keep."""

import html
import urllib.parse

LOG_IN = "Log in with Hugging Face"
# In the page itself: when a login ends while it is open, the next click is answered with 401, and it asks for another.
RELOADING = """<script>
const fetchAnswer = window.fetch;
window.fetch = async (...request) => {
  const answer = await fetchAnswer(...request);
  if (answer.status === 401) window.location.reload();
  return answer;
};
</script>"""
# The Hub's page around a Space is asked to let it scroll, as Gradio's button for a login asks.
SCROLLING = "window.parent?.postMessage({type: 'SET_SCROLLING', enabled: true}, '*')"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Embedding Foundry</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="%(scheme)s">
<link rel="icon" href="data:,">
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem; }
a { display: inline-block; padding: .6rem 1.2rem; border: 1px solid; border-radius: .5rem; text-decoration: none; }
</style></head>
<body><main><h1>Embedding Foundry</h1>
<p>One Sentence Transformers checkpoint in; every deployable form of it out, each one checked against the original.</p>
<p>Log in to see your project. Each user has one of their own.</p>
<p><a id="login" href="%(address)s" onclick="%(scrolling)s">%(log_in)s</a></p>
</main></body></html>
"""


def page(query: str) -> bytes:
    """The page, for an address with this query, to which people come back when they are logged in."""
    target = urllib.parse.quote(f"/?{query}" if query else "/", safe="/")
    theme = urllib.parse.parse_qs(query).get("__theme", [""])[0]
    return (
        PAGE
        % {
            "scheme": theme if theme in ("dark", "light") else "light dark",
            "address": html.escape(f"/login/huggingface?_target_url={target}"),
            "scrolling": html.escape(SCROLLING),
            "log_in": LOG_IN,
        }
    ).encode()
