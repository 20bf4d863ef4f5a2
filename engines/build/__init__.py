"""Building engines: in a process of their own, compared with PyTorch before use, kept in the signed store."""
