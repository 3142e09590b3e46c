"""The command line: one file a group of verbs; each makes records, then writes pages."""
