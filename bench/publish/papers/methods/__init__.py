"""A methods section in plain English, from records alone: it says nothing that no record says."""
