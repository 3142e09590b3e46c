"""Tables as files: a user's own, read as text; how names in them are compared; small ones in the cache."""
