"""Step 3: freeze the slots of a system that changed in a manifest."""
