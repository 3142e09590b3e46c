"""Sweeps over layers, poolings and tasks, as a section of a page."""
