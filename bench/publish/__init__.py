"""What people look at, cite and paste: the page of a results folder, figures, tables for papers, sharing."""
