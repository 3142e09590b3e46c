"""Network architectures that encoder families share."""
