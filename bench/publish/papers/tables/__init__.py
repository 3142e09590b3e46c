"""Tables for a paper: what they hold, and how LaTeX, Markdown, CSV, JSON and Excel show it."""
