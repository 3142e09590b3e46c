"""Two systems on the same clips: rows of one results folder, prediction files, or one of each."""
