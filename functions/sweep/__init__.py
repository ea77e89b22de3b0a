"""Find work that stands still and send it again; measure freshness."""
