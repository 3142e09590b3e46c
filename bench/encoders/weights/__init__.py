"""Weight files: finding, verifying, fetching, licences, and reading them without running code."""
