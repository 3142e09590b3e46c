"""What lies in a weight file: what its pickles ask for, what they get, and what a file is that cannot be read."""
