"""The features of clips on disk: what they are kept under, how they are computed, block by block, and read again."""
