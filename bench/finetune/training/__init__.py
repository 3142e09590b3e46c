"""The training loop and what it consists of: schedule, averages of weights, checkpoints, memory."""
