"""The rows of the report, charts, the recommendation, and the templates of report, card and pull request."""
