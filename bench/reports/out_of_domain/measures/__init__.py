"""What is measured of a transfer beside its scores: differences, thresholds, calibration, worst device."""
