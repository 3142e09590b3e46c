"""Published results beside ours: the rows with their sources, what of them can be compared, and the pages of them."""
