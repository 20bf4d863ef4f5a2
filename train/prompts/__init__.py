"""Training of the text encoder on sentences of a grammar, with a tag for each word."""
