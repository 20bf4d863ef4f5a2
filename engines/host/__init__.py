"""This machine: its terminal, files, devices and processes."""
