"""Training of LURE: restoration of single-camera frames first, then fusion in the learned latent space."""
