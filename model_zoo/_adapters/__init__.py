"""What encoder families share: the adapter, front ends, windows, cards, and foreign APIs."""
