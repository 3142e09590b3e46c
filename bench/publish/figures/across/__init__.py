"""Figures of many encoders and tasks side by side."""
