"""Detection evaluation: which objects a detector finds on the frames of every row, with confidence intervals."""
