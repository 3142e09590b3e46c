"""What published probes share: rows, networks side by side, the training loop, the estimator that holds them."""
