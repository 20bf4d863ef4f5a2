"""The page on which points are picked by hand."""
