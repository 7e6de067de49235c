"""The page's plots: each a function of a table's points that gives a `Plot`, or None where there is nothing to see."""
