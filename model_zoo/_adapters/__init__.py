"""What encoder families share: the base class, front ends, windows, cards, and the APIs of other libraries."""
