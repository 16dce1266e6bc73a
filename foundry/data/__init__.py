"""Where texts come from, tables, frozen texts, labelled tasks, and sampling."""
