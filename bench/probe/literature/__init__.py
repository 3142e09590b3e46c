"""Probes of the literature as published, so that its numbers can be set beside ours; ranked by themselves."""
