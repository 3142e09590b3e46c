"""Verbs about this machine: what is kept on it, and what it has."""
