"""What fine-tuning trains on: partition of the clips, waveforms, augmentation, quality, randomness."""
