"""The report of fine-tuning runs."""
