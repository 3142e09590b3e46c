"""Linear probes: standardised features, every penalty on patient-grouped folds, one refit."""
