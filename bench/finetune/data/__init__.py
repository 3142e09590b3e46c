"""What fine-tuning trains on: sides of the split, waveforms, augmentation, quality, randomness."""
