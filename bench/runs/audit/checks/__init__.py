"""The checks of an audit: annotations, duplicates, splits, shortcuts, and what embeddings reveal besides."""
