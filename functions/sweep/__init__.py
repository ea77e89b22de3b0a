"""Find stalled work and send it again; measure freshness."""
