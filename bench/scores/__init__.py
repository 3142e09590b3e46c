"""From predictions to numbers: label kinds, metrics, curves, intervals, and the records that hold them."""
