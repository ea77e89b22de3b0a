"""Step 2: cut a run into slots and quarantine the rows that break the contract."""
