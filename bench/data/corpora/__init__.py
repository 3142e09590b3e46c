"""Corpora as their publishers offer them: where they lie, their licences, downloading and unpacking."""
