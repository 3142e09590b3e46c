"""Figures of what was decided for each clip, from the predictions of a record."""
