"""Made-up snapshots of Vélib' stations."""
