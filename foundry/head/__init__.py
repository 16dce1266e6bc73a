"""What stands behind the transformer, in the graph itself: one graph from tokens to the embedding or the scores."""
