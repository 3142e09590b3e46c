"""The report of a sweep: tables, figures and the numbers behind them."""
