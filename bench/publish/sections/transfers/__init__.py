"""Transfers between corpora and devices, as a section of a page."""
