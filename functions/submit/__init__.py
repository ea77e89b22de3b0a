"""Step 4: submit the Spark batch of a manifest."""
