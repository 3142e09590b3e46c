"""What sound files say of themselves: what they are, how long they claim to be, whether their samples are plausible."""
