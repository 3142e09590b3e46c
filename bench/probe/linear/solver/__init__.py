"""The solvers of the logistic path: Newton steps in features, rows, or blocks of coordinates."""
