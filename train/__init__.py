"""Training and evaluation of the fusion networks. Nothing imports this package at run time."""
