"""Who leads, and how sure that is: comparisons with a level that holds, ranks with intervals, marks and costs."""
