"""The room symbolic."""
