"""Trained recommenders: each a short composition of the graph, the samplers and the contrastive core."""
