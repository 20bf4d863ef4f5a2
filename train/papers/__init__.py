"""Training of the papers' own networks, IASSF and DFVO, with the papers' losses and hyper-parameters."""
