"""What goes into a paper: tables of results, citations of what they rest on, and a paragraph of methods."""
