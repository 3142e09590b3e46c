"""The training loop, its schedule, weight averaging and checkpoints."""
