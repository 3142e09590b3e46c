"""The model that is fine-tuned: the encoder's trained parts, low-rank adapters, heads, and all of them together."""
