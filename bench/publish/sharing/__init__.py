"""Results that leave their folder: submissions packed and merged, and other projects' formats written."""
