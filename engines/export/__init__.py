"""Networks as files for other runtimes and compilers."""
