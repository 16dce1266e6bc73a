"""The exporters, tried in turn, each compared with torch."""
