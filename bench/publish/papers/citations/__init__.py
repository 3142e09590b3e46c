"""What a results folder rests on, as BibTeX: encoders, corpora, metrics, methods, and RespBench itself."""
