"""Building of engines: in a separate process, compared with PyTorch before use, stored in a signed store."""
