"""Export of networks to files for other runtimes and compilers."""
