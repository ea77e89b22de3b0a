"""Read JSON documents and lines."""
