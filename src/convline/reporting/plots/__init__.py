"""Draw the plots of the report page. Each function takes a table and its points and returns a `Plot`, or None."""
