"""The network that fine-tuning trains: encoder, heads, parameter groups, low-rank adapters."""
