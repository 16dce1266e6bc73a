"""`foundry ui`: choose, watch, decide and publish in a browser. Only page.py, its tabs and server.py import Gradio."""
