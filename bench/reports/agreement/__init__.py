"""Whether numbers agree: a folder's with its own predictions (``verify``), two folders' records (``compare``)."""
