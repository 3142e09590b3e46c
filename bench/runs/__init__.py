"""From what was asked for to records: plan, encode, probe, score."""
