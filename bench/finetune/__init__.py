"""Fine-tuning: encoder, head and method trained together, with predictions kept after every epoch."""
