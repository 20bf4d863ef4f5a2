"""LURE's training: restoration data of one camera at a time, then fusion pairs in the space that was learned."""
