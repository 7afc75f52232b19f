"""What theorems promise for a configuration, and each bound compared with what a run did."""
