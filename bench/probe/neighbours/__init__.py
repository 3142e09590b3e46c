"""Probes without training: nearest neighbours and class prototypes."""
