"""What corpora share: labels, tables, layouts, suites."""
