"""What embeddings are good for: tasks that are solved on features, as pure functions of arrays."""
