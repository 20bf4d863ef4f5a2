"""The text encoder's training: phrases of a grammar, each word with what it says."""
