"""What figures are drawn with, reports' own and papers': style, sizes, shapes, names that fit."""
