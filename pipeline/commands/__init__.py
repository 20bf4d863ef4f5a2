"""Commands that stand beside a run: the demonstration and the check of this machine."""
