"""Step 1: fetch a run from its publisher and claim it."""
