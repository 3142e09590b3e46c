"""Probes solved to their optimum: logistic regression along its path, multi-label, ridge."""
